"""What git says: its answer or an error, of the right repository, and without running what the repository names."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sealift.client import git
from sealift.client.errors import InputError
from sealift.client.git import GitIgnored, GitInfo, git_environment, read_git

ROOT = Path(__file__).parents[2]
Damage = Callable[[Path], None]


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
    """Promise: sha, branch, subject, author, time and dirty flag are read, also non-ASCII ones."""
    info = read_git(repository)
    assert info == GitInfo(
        run(repository, "rev-parse", "HEAD"), "feature/ü", 'Say "hi" 🎉', "Zoë 🚢", 1767323045000, False
    )
    (repository / "a").write_text("2")
    assert read_git(repository).is_dirty


def test_detached_head_has_no_branch(repository: Path) -> None:
    """Promise: a detached HEAD has no branch, and differs from a directory without a repository."""
    run(repository, "checkout", "-q", "--detach")
    info = read_git(repository)
    assert (info.branch, info.is_detached) == (None, True)


def test_named_commit(repository: Path) -> None:
    """Promise: --commit is looked up; an unknown one, as in a shallow clone, is kept; the branch is known."""
    first = run(repository, "rev-parse", "HEAD")
    run(repository, "commit", "-q", "--allow-empty", "-m", "second")
    assert read_git(repository, first[:8]).message == 'Say "hi" 🎉'
    assert read_git(repository, "deadbeef") == GitInfo(commit_sha="deadbeef", branch="feature/ü")


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: outside a repository the fields are None, with and without git; a new repository has a branch."""
    assert read_git(tmp_path) == GitInfo()
    assert not GitIgnored(tmp_path).has_repository
    monkeypatch.setenv("PATH", "")
    assert read_git(tmp_path) == GitInfo()
    monkeypatch.undo()
    run(tmp_path, "init", "-q", "-b", "first")
    assert read_git(tmp_path) == GitInfo(branch="first")


def _other_owner(root: Path) -> None:
    os.chown(root, 65534, 65534)


def _no_git(root: Path) -> None:
    os.environ["PATH"] = ""


def _points_nowhere(root: Path) -> None:
    shutil.rmtree(root / ".git")
    (root / ".git").write_text("gitdir: /nowhere/at/all\n")


def _no_gitfile(root: Path) -> None:
    shutil.rmtree(root / ".git")
    (root / ".git").write_text("what?\n")


def _empty(root: Path) -> None:
    shutil.rmtree(root / ".git")
    (root / ".git").mkdir()


def _no_head(root: Path) -> None:
    (root / ".git/HEAD").unlink()


def _bad_config(root: Path) -> None:
    (root / ".git/config").write_text("[core\n")


def _bare(root: Path) -> None:
    run(root, "config", "core.bare", "true")


def _worktree_elsewhere(root: Path) -> None:
    run(root, "config", "core.worktree", "/usr")


def _future_format(root: Path) -> None:
    run(root, "config", "core.repositoryformatversion", "7")


CANNOT_BE_ASKED = [
    (_other_owner, r"belongs to another user \(nobody\).*git config --global --add safe\.directory {root}"),
    (_no_git, "git is not installed.*Install git"),
    (_points_nowhere, "can't read {root}: not a git repository"),
    (_no_gitfile, "invalid gitfile format"),
    (_empty, "not a git repository"),
    (_no_head, "not a git repository"),
    (_bad_config, "bad config line 1"),
    (_bare, "has no work tree"),
    (_worktree_elsewhere, "can't read {root}"),
    (_future_format, "repo version"),
]


@pytest.mark.parametrize(("damage", "words"), CANNOT_BE_ASKED, ids=lambda value: getattr(value, "__name__", ""))
def test_a_repository_that_cannot_be_asked(
    repository: Path, monkeypatch: pytest.MonkeyPatch, damage: Damage, words: str
) -> None:
    """Promise: every failure of git is an error with git's reason and a remedy."""
    monkeypatch.setenv("PATH", os.environ["PATH"])
    (repository / "sub").mkdir()
    damage(repository)
    for directory in (repository, repository / "sub"):
        for ask in (read_git, GitIgnored):
            with pytest.raises(InputError, match="(?s)" + words.format(root=repository)) as caught:
                ask(directory)
            assert caught.value.code == "git.unavailable"
            assert "--no-git" in caught.value.message


def test_damaged_objects_and_references(repository: Path) -> None:
    """Promise: a missing commit is not mistaken for a repository without commits."""
    sha = run(repository, "rev-parse", "HEAD")
    (repository / ".git/objects" / sha[:2] / sha[2:]).unlink()
    with pytest.raises(InputError, match="bad object HEAD"):
        read_git(repository)
    reference = repository / ".git/refs/heads/feature/ü"
    reference.write_text("rubbish\n")
    with pytest.raises(InputError, match="git can't read"):
        read_git(repository)
    shutil.rmtree(repository / ".git/refs/heads/feature")
    assert read_git(repository) == GitInfo(branch="feature/ü")


def test_slow_git(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a git that hangs is an error after a timeout."""
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git, "TIMEOUT_S", 0.1)
    for ask in (read_git, GitIgnored):
        with pytest.raises(InputError, match=r"did not finish within 0\.1 s.*--no-git"):
            ask(repository)


def test_an_endless_answer(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a list over the limit is an error, not an empty list."""
    (repository / ".gitignore").write_text("*.o\n")
    for number in range(40):
        (repository / f"{number}.o").touch()
    monkeypatch.setattr(git, "MAX_OUTPUT_BYTES", 100)
    with pytest.raises(InputError, match=r"git ls-files printed more than.*--no-git"):
        GitIgnored(repository)


def test_the_variables_of_a_hook(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Promise: in another repository's hook, this directory's repository is read."""
    other = tmp_path_factory.mktemp("other")
    run(other, "init", "-q", "-b", "other")
    run(other, "commit", "-q", "--allow-empty", "-m", "other")
    expected = read_git(repository)
    (repository / ".gitignore").write_text("*.o\n")
    (repository / "x.o").touch()
    asking = (
        "import pathlib, sys; from sealift.client.git import read_git, GitIgnored; root = pathlib.Path(sys.argv[1]);"
        "print(read_git(root).commit_sha, read_git(root).branch, 'x.o' in GitIgnored(root))"
    )
    hook = {
        "GIT_DIR": f"{other}/.git", "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": f"{other}/.git/index",
        "GIT_PREFIX": "sub/", "GIT_COMMON_DIR": f"{other}/.git", "GIT_OBJECT_DIRECTORY": f"{other}/.git/objects",
        "GIT_NAMESPACE": "n", "GIT_CEILING_DIRECTORIES": str(repository.parent), "GIT_LITERAL_PATHSPECS": "1",
        "GIT_CONFIG_PARAMETERS": f"'core.worktree'='{other}'", "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.worktree", "GIT_CONFIG_VALUE_0": str(other), "GIT_TRACE": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", asking, str(repository)],
        check=True,
        env={**os.environ, **hook},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{expected.commit_sha} feature/ü True\n", done.stderr


def test_what_of_the_environment_git_keeps() -> None:
    """Promise: trusted directories and the user's ignore file are kept; variables that select a repository are not."""
    env = {
        "PATH": "/bin", "GIT_DIR": "/x", "GIT_CONFIG_GLOBAL": "/g", "GIT_SSH_COMMAND": "x", "GIT_CONFIG_COUNT": "4",
        "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": "evil",
        "GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*",
        "GIT_CONFIG_KEY_2": "core.excludesFile", "GIT_CONFIG_VALUE_2": "/e", "GIT_CONFIG_KEY_3": "core.bare",
    }  # fmt: skip
    kept = git_environment(env)
    assert {name: value for name, value in kept.items() if name in env or name.startswith("GIT_CONFIG")} == {
        "PATH": "/bin", "GIT_CONFIG_GLOBAL": "/g", "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        "GIT_CONFIG_KEY_1": "core.excludesFile", "GIT_CONFIG_VALUE_1": "/e",
    }  # fmt: skip
    for count in ("", "-1", "x", "²", "99999999999"):
        git_environment({"GIT_CONFIG_COUNT": count})


def test_an_owner_who_is_trusted_by_variables(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: the usual remedy of CI systems without a home, safe.directory in variables, works."""
    _other_owner(repository)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(repository))
    assert read_git(repository).branch == "feature/ü"


def test_a_repository_runs_no_program(repository: Path) -> None:
    """Promise: fsmonitor, hooks, filters and signature checks of the repository's own configuration do not run."""
    mark = repository.parent / "ran"
    program = repository / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    program.chmod(0o755)
    hooks = repository / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-index-change", "fsmonitor-watchman", "pre-commit"):
        shutil.copy2(program, hooks / name)
    for key in (
        "core.fsmonitor",
        "filter.evil.clean",
        "filter.evil.process",
        "gpg.program",
        "core.pager",
        "core.sshCommand",
    ):
        run(repository, "config", key, str(program))
    run(repository, "config", "filter.evil.required", "true")
    run(repository, "config", "log.showSignature", "true")
    (repository / ".gitattributes").write_text("a filter=evil\n")
    (repository / "a").write_text("3")
    info = read_git(repository)
    GitIgnored(repository)
    assert info.is_dirty
    assert not mark.exists()
    run(repository, "config", "filter.a=b.clean", str(program))
    (repository / ".gitattributes").write_text("a filter=a=b\n")
    assert read_git(repository).is_dirty is None
    assert not mark.exists()


@pytest.mark.parametrize("date", ["1970-01-02T00:00:00Z", "2090-01-01T00:00:00Z"])
def test_times_the_server_would_refuse(repository: Path, date: str) -> None:
    """Promise: a commit with a wrong time does not fail the deploy."""
    run(repository, "commit", "-q", "--allow-empty", "-m", "odd", date=date)
    info = read_git(repository)
    assert info.timestamp_ms is None
    assert info.message == "odd"


def ignored(root: Path, *paths: str) -> set[str]:
    """Those of `paths` that git ignores."""
    asked = GitIgnored(root)
    return {path for path in paths if path in asked}


def test_ignored_paths(repository: Path) -> None:
    """Promise: ignored directories are one path each; tracked files are not ignored; names may be any bytes."""
    odd = os.fsdecode(b"\xff \n.o")
    for name in ("out/a/b", "x.o", "kept", "tracked.o", odd):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("x")
    run(repository, "add", "tracked.o")
    (repository / ".gitignore").write_text("out/\n*.o\n")
    paths = ("out", "out/a", "x.o", "kept", "tracked.o", odd)
    assert ignored(repository, *paths) == {"out", "x.o", odd}
    assert not GitIgnored(repository).is_root_ignored


def test_every_source_of_rules(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: .git/info/exclude, the user's excludes and rules above a subdirectory apply."""
    home = tmp_path_factory.mktemp("home")
    (home / "ignore").write_text("*.swp\n")
    (home / ".gitconfig").write_text(f"[core]\n\texcludesFile = {home}/ignore\n")
    monkeypatch.setenv("HOME", str(home))
    (repository / ".git/info/exclude").write_text("private\n")
    (repository / ".gitignore").write_text("*.o\n")
    for name in ("sub/a.swp", "sub/private", "sub/a.o", "sub/a.c"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).touch()
    assert ignored(repository / "sub", "a.swp", "private", "a.o", "a.c") == {"a.swp", "private", "a.o"}
    (repository / ".git/info/exclude").write_text("sub/\n")
    assert GitIgnored(repository / "sub").is_root_ignored


def test_non_utf8_branch(repository: Path) -> None:
    """Promise: a branch with invalid UTF-8 is converted to text."""
    name = os.fsdecode(b"caf\xe9")
    run(repository, "checkout", "-q", "-b", name)
    assert read_git(repository).branch == "caf\ufffd"
