"""Streams that are full, closed, or can't hold a character: a line and an exit code, never a traceback."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from sealift.cli.app import COMMANDS
from sealift.cli.conftest import ROOT, Program
from sealift.cli.exit_codes import ExitCode
from sealift.client.testing import FakeServer

LIMIT_BYTES = 8192  # more than the archive of the test's app
FULL_DISK = "error: can't write to stdout: No space left on device\n"


@pytest.fixture
def full() -> Iterator[IO[bytes]]:
    with Path("/dev/full").open("wb", buffering=0) as file:
        yield file


@pytest.mark.parametrize("verb", ["", *COMMANDS])
def test_help_on_a_full_disk(verb: str, full: IO[bytes]) -> None:
    """Promise: help that can't be written is an error, of one line, and exit 8."""
    args = [sys.executable, "-m", "sealift.cli.main", *([verb] if verb else []), "--help"]
    done = subprocess.run(args, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (ExitCode.OUTPUT, FULL_DISK)


@pytest.mark.parametrize(
    "words", ["ls", "ls --json", "projects", "environments", "keys", "status", "version", "logs --build dep_1",
              "deploy --dry-run", "deploy --dry-run --json", "keys create ci", "projects create shop"],
)  # fmt: skip
async def test_data_on_a_full_disk(sealift: Program, server: FakeServer, full: IO[bytes], words: str) -> None:
    """Promise: a failed write of data is never reported as success."""
    assert (await sealift("deploy")).code == 0
    done = await sealift(*words.split(), stdout=full)
    assert done.code == ExitCode.OUTPUT
    assert done.err.endswith(FULL_DISK)
    assert "Traceback" not in done.err


async def test_deploy_on_a_full_disk(sealift: Program, server: FakeServer, full: IO[bytes]) -> None:
    """Promise: with --json nothing is deployed if events can't be written; else only the URL is lost."""
    done = await sealift("deploy", "--json", stdout=full)
    assert (done.code, done.err) == (ExitCode.OUTPUT, FULL_DISK)
    assert not server.created
    done = await sealift("deploy", stdout=full)
    assert done.code == ExitCode.OUTPUT
    assert "Live" in done.err
    assert done.err.endswith(FULL_DISK)


@pytest.mark.parametrize("room", [150, 400, 700, 1000, 1300, 1600, 1900])
async def test_a_disk_that_fills_up(sealift: Program, server: FakeServer, tmp_path: Path, room: int) -> None:
    """Promise: wherever in a deploy the space runs out, it ends with exit 8 and one line."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT_BYTES}, {LIMIT_BYTES}))"
    sealift.command = ("-c", f"{limited}; from sealift.cli.main import main; main()")
    out = tmp_path / "events.jsonl"
    out.write_bytes(b" " * (LIMIT_BYTES - room))
    with out.open("ab", buffering=0) as file:
        done = await sealift("deploy", "--json", stdout=file)
    assert (done.code, done.err) == (ExitCode.OUTPUT, "error: can't write to stdout: File too large\n")
    assert out.stat().st_size == LIMIT_BYTES


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", "2>&-", "<&- >&-", "2>/dev/full", "<&- 2>&-"])
def test_closed_streams(redirection: str) -> None:
    """Promise: a closed stdout is an error; a closed or full stderr, or a closed stdin, is not."""
    command = f"{sys.executable} -m sealift.cli.main version --client {redirection}"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    is_closed = ">&-" in redirection.replace("2>&-", "")
    assert done.returncode == (ExitCode.OUTPUT if is_closed else 0)
    assert "Traceback" not in done.stderr
    if is_closed and "2>&-" not in redirection:
        assert done.stderr == "error: can't write to stdout: it is not open\n"
