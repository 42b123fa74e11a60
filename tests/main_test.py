"""What a run does with the tests that failed beside others."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.__main__ import AGAIN_AT_MOST
from tests.workers import ENGINES

ROOT = Path(__file__).parents[1]
FAILS_ONCE = """
from pathlib import Path
import pytest

@pytest.fixture
def made():
    seen = Path(__file__).with_suffix(".seen")
    if not seen.exists():
        seen.touch()
        raise RuntimeError("not yet")

def test_fixture(made):
    pass

def test_passes():
    with Path(__file__).with_suffix(".count").open("a") as count:
        count.write("x")
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """In the tree, as ids of tests are relative to it, and where no other run looks for tests."""
    (ROOT / ".pytest_cache").mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=ROOT / ".pytest_cache"))
    yield made
    shutil.rmtree(made)


def run(folder: Path) -> "subprocess.CompletedProcess[str]":
    """The tests of a folder by two workers; the engines need not exist."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SEALIFT_"))}
    return subprocess.run(
        [sys.executable, "-m", "tests", "-c", "pyproject.toml", "-p", "no:cacheprovider", "-o", f"testpaths={folder}"],
        cwd=ROOT,
        env={**environment, ENGINES: "/nowhere/1.sock /nowhere/2.sock"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_what_fails_beside_others_runs_again_alone(folder: Path) -> None:
    """Promise: a test that passes the second time does not fail the run, and is named; the others do not run again."""
    (folder / "once_test.py").write_text(FAILS_ONCE)
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "RuntimeError: not yet" in done.stdout
    last = done.stdout.rpartition("FLAKY")[2]
    assert "once_test.py::test_fixture" in last
    assert "test_passes" not in last
    assert (folder / "once_test.count").read_text() == "x"


@pytest.mark.parametrize("failing", [1, AGAIN_AT_MOST + 1])
def test_what_fails_twice_fails_the_run(folder: Path, failing: int) -> None:
    """Promise: a fault fails the run, and a great many failures do so at once."""
    (folder / "never_test.py").write_text("".join(f"def test_{n}():\n    assert not {n}\n" for n in range(failing + 1)))
    done = run(folder)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "FLAKY" not in done.stdout
    assert ("They run once more" in done.stdout) == (failing == 1)


def test_a_file_that_cannot_be_collected_fails_the_run(folder: Path) -> None:
    """Promise: its tests did not run, so that others which pass the second time do not make the run green."""
    (folder / "broken_test.py").write_text("raise RuntimeError('broken')\n")
    (folder / "once_test.py").write_text(FAILS_ONCE)
    done = run(folder)
    assert done.returncode != 0, done.stdout + done.stderr
    assert "RuntimeError: broken" in done.stdout
    assert "FLAKY" not in done.stdout
