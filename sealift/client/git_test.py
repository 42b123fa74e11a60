"""What is read from git: best effort, never an error."""

import os
import subprocess
from pathlib import Path

import pytest

from sealift.client import git
from sealift.client.git import GitInfo, ignored_paths, read_git


def run(root: Path, *args: str, date: str = "2026-01-02T03:04:05Z") -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_COMMITTER_DATE": date}
    identity = ("-c", "user.name=Zoë 🚢", "-c", "user.email=z@example.com")
    command = ["git", "-C", str(root), *identity, *args]
    return subprocess.run(command, check=True, capture_output=True, env=env, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    run(tmp_path, "init", "-q", "-b", "feature/ü")
    (tmp_path / "a").write_text("1")
    run(tmp_path, "add", "a")
    run(tmp_path, "commit", "-q", "-m", 'Say "hi" 🎉\n\nbody')
    return tmp_path


def test_checkout(repository: Path) -> None:
    """Promise: sha, branch, subject, author, milliseconds and dirtiness, also beyond ASCII."""
    info = read_git(repository)
    assert info == GitInfo(
        run(repository, "rev-parse", "HEAD"), "feature/ü", 'Say "hi" 🎉', "Zoë 🚢", 1767323045000, False
    )
    (repository / "a").write_text("2")
    assert read_git(repository).is_dirty


def test_detached_head_has_no_branch(repository: Path) -> None:
    """Promise: a detached HEAD names no branch."""
    run(repository, "checkout", "-q", "--detach")
    assert read_git(repository).branch is None


def test_named_commit(repository: Path) -> None:
    """Promise: --commit is looked up; one that git does not know stays as it is."""
    first = run(repository, "rev-parse", "HEAD")
    run(repository, "commit", "-q", "--allow-empty", "-m", "second")
    assert read_git(repository, first[:8]).message == 'Say "hi" 🎉'
    assert read_git(repository, "deadbeef") == GitInfo(commit_sha="deadbeef")


def test_no_repository_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: without a repository, commits or git itself there is just less to know."""
    assert read_git(tmp_path) == GitInfo()
    run(tmp_path, "init", "-q")
    assert read_git(tmp_path) == GitInfo()
    monkeypatch.setenv("PATH", "")
    assert read_git(tmp_path) == GitInfo()
    assert ignored_paths(tmp_path) is None


def test_slow_git(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a git that hangs is left after a bounded time."""
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(git._run, "__kwdefaults__", {"timeout_s": 0.1})
    assert read_git(repository) == GitInfo()


@pytest.mark.parametrize("date", ["1970-01-02T00:00:00Z", "2090-01-01T00:00:00Z"])
def test_times_the_server_would_refuse(repository: Path, date: str) -> None:
    """Promise: a commit of a clock that is far off does not make the deploy fail."""
    run(repository, "commit", "-q", "--allow-empty", "-m", "odd", date=date)
    info = read_git(repository)
    assert info.timestamp_ms is None
    assert info.message == "odd"


def test_ignored_paths(repository: Path) -> None:
    """Promise: ignored directories are one path each, without a slash."""
    (repository / ".gitignore").write_text("out/\n*.o\n")
    for name in ("out/a/b", "x.o", "kept"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("x")
    assert ignored_paths(repository) == frozenset({"out", "x.o"})
