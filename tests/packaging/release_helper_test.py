"""dev/release on a scratch repository with real git."""

import subprocess
import sys
from pathlib import Path

import pytest

from dev.releasing import closure
from dev.releasing.__main__ import main
from dev.releasing.checks import released
from dev.releasing.errors import ReleaseError
from dev.releasing.repository import Repository
from tests.packaging.repository import ROOT
from tests.packaging.scratch import Scratch, environment, make


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    return make(tmp_path, monkeypatch)


def run(scratch: Scratch, *arguments: str) -> int:
    return main(["-C", str(scratch.root), *arguments])


def tags(scratch: Scratch) -> list[str]:
    return scratch.git("tag").splitlines()


def test_shows_and_changes_nothing(scratch: Scratch, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: without --yes nothing is made."""
    assert run(scratch, "krane") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("krane/v0.1.0 at ")
    assert "First release." in printed.out
    assert "Nothing was changed" in printed.err
    assert tags(scratch) == []


def test_tags_with_the_changes_of_that_service(scratch: Scratch, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: the notes hold what the service depends on, through shared code too, and nothing else."""
    scratch.tag("krane/v1.3.9")
    scratch.tag("api/v7.0.0")
    scratch.commit("Change the api", {"svc/api/run.py": "def run() -> int:\n    return 2\n"})
    scratch.commit("Change what is shared", {"pkg/shared.py": "ONE = 1.0\n"})
    scratch.commit("Test krane", {"svc/krane/run_test.py": "def test_more() -> None: ...\n"})
    scratch.commit("Write a page", {"docs/page.md": "More"})
    head = scratch.commit("Change krane", {"svc/krane/run.py": "from pkg.shared import ONE\n"})
    assert run(scratch, "krane", "--part", "minor", "--yes") == 0
    assert "git push origin refs/tags/krane/v1.4.0" in capsys.readouterr().err
    assert scratch.git("cat-file", "-t", "krane/v1.4.0") == "tag"
    assert scratch.git("rev-parse", "krane/v1.4.0^{commit}") == head
    message = scratch.git("tag", "--list", "--format=%(contents)", "krane/v1.4.0")
    subjects = [line.rpartition(" (")[0] for line in message.splitlines() if line.startswith("* ")]
    assert subjects == ["* Change krane", "* Change what is shared"]
    assert "Since krane/v1.3.9:" in message


@pytest.mark.parametrize("kind", ["changed", "untracked", "staged"])
def test_refuses_a_dirty_tree(scratch: Scratch, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    """Promise: only the commit that is checked out can be tagged."""
    name = "new.txt" if kind == "untracked" else "README.md"
    (scratch.root / name).write_text("other")
    if kind == "staged":
        scratch.git("add", name)
    assert run(scratch, "krane", "--yes") == 1
    assert f"not clean ({name})" in capsys.readouterr().err
    assert tags(scratch) == []


def test_refuses_what_is_not_on_main(scratch: Scratch, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: only merged commits are released; a commit that is only here, or on a branch, is not."""
    scratch.commit("Only here", {"README.md": "2"}, push=False)
    assert run(scratch, "krane", "--yes") == 1
    scratch.git("checkout", "-q", "-b", "topic")
    scratch.git("push", "-q", "origin", "topic")
    assert run(scratch, "krane", "--yes") == 1
    assert capsys.readouterr().err.count("is not in origin/main") == 2
    assert tags(scratch) == []


def test_refuses_names_and_versions_that_cannot_be(scratch: Scratch, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: unknown services, old and existing versions get a reason."""
    scratch.tag("krane/v1.4.0")
    for arguments, reason in [
        (["crane"], "there are api, krane, worker, cli"),
        (["krane", "--version", "v1.4.0"], "krane/v1.4.0 exists"),
        (["krane", "--version", "v1.3.0"], "older than krane/v1.4.0"),
        (["krane", "--version", "1.5.0"], "is not a version"),
        (["krane", "--version", "v1.4.0-rc.1"], "older than krane/v1.4.0"),
    ]:
        assert run(scratch, *arguments, "--yes") == 1
        assert reason in capsys.readouterr().err
    assert tags(scratch) == ["krane/v1.4.0"]


def test_the_package_says_the_version_of_the_command_line(scratch: Scratch, capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: tag and package never disagree."""
    assert run(scratch, "cli", "--version", "v0.2.0", "--yes") == 1
    assert "the package says v0.1.0" in capsys.readouterr().err
    assert run(scratch, "cli", "--yes") == 0
    assert tags(scratch) == ["cli/v0.1.0"]
    assert run(scratch, "cli", "--yes") == 1
    assert "to 0.1.1" in capsys.readouterr().err
    scratch.commit("Raise one of two", {"sealift/__init__.py": '__version__ = "0.1.1"\n'})
    assert run(scratch, "cli", "--yes") == 1
    assert "make them equal" in capsys.readouterr().err


def test_a_fit_tag(scratch: Scratch) -> None:
    """Promise: a tag of each kind passes its own check and not the other's."""
    scratch.tag("krane/v1.4.0")
    scratch.tag("cli/v0.1.0")
    repository = Repository(scratch.root)
    assert str(released(repository, "krane/v1.4.0", "service")) == "krane/v1.4.0"
    assert str(released(repository, "cli/v0.1.0", "cli")) == "cli/v0.1.0"
    with pytest.raises(ReleaseError, match="no tag of the command line"):
        released(repository, "krane/v1.4.0", "cli")
    with pytest.raises(ReleaseError, match="no service cli"):
        released(repository, "cli/v0.1.0", "service")


def test_tags_that_are_not_fit(scratch: Scratch) -> None:
    """Promise: nothing is published from a commit outside of main, a missing tag, or another checkout."""
    repository = Repository(scratch.root)
    with pytest.raises(ReleaseError, match=r"no commit refs/tags/krane/v1\.0\.0"):
        released(repository, "krane/v1.0.0", "service")
    scratch.tag("krane/v1.0.0")
    scratch.commit("Move on", {"README.md": "2"})
    with pytest.raises(ReleaseError, match="is not what is checked out"):
        released(repository, "krane/v1.0.0", "service")
    scratch.git("checkout", "-q", "-b", "topic")
    scratch.commit("Not merged", {"README.md": "3"})
    scratch.tag("krane/v1.0.1")
    with pytest.raises(ReleaseError, match="is not in origin/main"):
        released(repository, "krane/v1.0.1", "service")
    scratch.tag("cli/v9.9.9")
    scratch.git("push", "-q", "origin", "topic:main")
    with pytest.raises(ReleaseError, match=r"a package that says 0\.1\.0"):
        released(repository, "cli/v9.9.9", "cli")


def test_a_tag_that_only_looks_like_main(scratch: Scratch) -> None:
    """Promise: a tag or a local branch named main does not stand for origin/main."""
    scratch.git("checkout", "-q", "-b", "topic")
    scratch.commit("Not merged", {"README.md": "3"}, push=False)
    scratch.git("tag", "origin/main")
    scratch.git("branch", "-f", "main")
    scratch.tag("krane/v1.0.0")
    with pytest.raises(ReleaseError, match="is not in origin/main"):
        released(Repository(scratch.root), "krane/v1.0.0", "service")


def test_half_a_history_is_no_proof(scratch: Scratch, tmp_path: Path) -> None:
    """Promise: a shallow clone, which can't know, is refused instead of guessed."""
    scratch.commit("Second", {"README.md": "2"})
    scratch.tag("krane/v1.0.0")
    scratch.git("push", "-q", "origin", "krane/v1.0.0")
    shallow = tmp_path / "shallow"
    subprocess.run(
        ["git", "clone", "-q", "--depth=1", "--branch=main", f"file://{tmp_path}/origin.git", str(shallow)],
        check=True, capture_output=True, timeout=60, env=environment(),
    )  # fmt: skip
    subprocess.run(
        ["git", "fetch", "-q", "--depth=1", "origin", "tag", "krane/v1.0.0"],
        cwd=shallow, check=True, timeout=60, env=environment(),
    )  # fmt: skip
    with pytest.raises(ReleaseError, match="unshallow"):
        released(Repository(shallow), "krane/v1.0.0", "service")


def test_closures_of_this_repository() -> None:
    """Promise: each service's notes are about its own files; no other service, no test, no command line."""
    assert Repository(ROOT).services() == ["api", "krane", "worker"]
    for service in ("api", "krane", "worker"):
        found = closure.paths(ROOT, service)
        assert {f"build/{service}/main.py", f"svc/{service}/run.py", "requirements_lock.txt"} <= set(found)
        others = {"api", "krane", "worker"} - {service}
        assert [path for path in found if any(path.startswith((f"svc/{o}/", f"build/{o}/")) for o in others)] == []
        assert [
            path for path in found if path.endswith("_test.py") or path.startswith(("sealift/cli/", "tests/"))
        ] == []
        assert [path for path in found if not (ROOT / path).exists()] == []
    assert Repository(ROOT).images() == ["api", "krane", "restate", "worker"]
    program = closure.paths(ROOT, "restate")
    assert {"build/restate/BUILD.bazel", "package-lock.json", "build/util/program_image.bzl"} <= set(program)
    assert [path for path in program if path.startswith(("svc/", "pkg/")) or path == "requirements_lock.txt"] == []
    package = closure.paths(ROOT, "cli")
    assert {"sealift/cli/main.py", "pyproject.toml"} <= set(package)
    assert [path for path in package if path.endswith("_test.py") or path.startswith(("svc/", "pkg/"))] == []
    assert "svc/krane/ingress/xds.binpb" in closure.paths(ROOT, "krane")


@pytest.mark.parametrize("module", ["dev.releasing", "dev.releasing.ci"])
def test_nothing_has_to_be_installed(module: str) -> None:
    """Promise: the check of a tag runs on a bare Python, before any package of others was fetched."""
    command = [sys.executable, "-S", "-m", module, "--help"]
    assert subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
