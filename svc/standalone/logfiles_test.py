"""Logs never fill the disk."""

import os
from pathlib import Path

from svc.standalone.logfiles import trim


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
