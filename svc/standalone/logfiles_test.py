"""Logs never fill the disk."""

import json
import os
from pathlib import Path

from svc.standalone.logfiles import LAST_ERROR_CHARS, last_error, trim


def test_full_log_is_put_aside_under_its_writer(tmp_path: Path) -> None:
    """Disk use is bounded although the writer keeps its file open."""
    path = tmp_path / "api.log"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb", buffering=0) as writer:
        writer.write(b"old\n" * 100)
        assert not trim(path, 1000)
        assert trim(path, 100)
        writer.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    older = tmp_path / "api.log.1"
    assert older.read_bytes() == b"old\n" * 100
    assert older.stat().st_mode & 0o077 == 0


def test_missing_log_is_fine(tmp_path: Path) -> None:
    """A process that never wrote has no log."""
    assert not trim(tmp_path / "none.log", 1)


def test_the_last_error_of_a_life(tmp_path: Path) -> None:
    """What ended a service is told from its own log, not from an earlier life's, and never longer than a few lines."""
    path = tmp_path / "api.log"
    assert last_error(path) == ""
    earlier = json.dumps({"level": "error", "msg": "an earlier life"}) + "\n"
    path.write_text(earlier)
    assert last_error(path) == "an earlier life"
    assert last_error(path, since=len(earlier)) == ""
    traceback = "Traceback (most recent call last):\n  File ...\nValueError: two heads\n"
    with path.open("a") as file:
        file.write(json.dumps({"level": "error", "msg": "failed", "exc": traceback}) + "\n")
        file.write(json.dumps({"level": "info", "msg": 'not an "error"'}) + '\nno JSON "error"\n["error"]\n')
    assert last_error(path, since=len(earlier)) == "ValueError: two heads"
    path.write_text(json.dumps({"level": "error", "msg": "x" * 9000}) + "\n")  # trimmed meanwhile: smaller than before
    assert last_error(path, since=100_000) == "x" * LAST_ERROR_CHARS
