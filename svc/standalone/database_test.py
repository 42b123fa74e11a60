"""A damaged database is told with its path and what to do, and is never touched."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pkg.db import Database
from pkg.db.faults import DamagedError
from svc.standalone.database import control_problem, telemetry_note
from svc.standalone.statedir import StateDir


async def made(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path / "s")
    state.prepare()
    db = Database.open(f"sqlite:///{state.root / 'control.db'}")
    await db.migrate()
    await db.close()
    return state


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def no_file(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [truncated, garbage, no_file], ids=lambda fn: fn.__name__)
async def test_a_damaged_control_database(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Promise: the refusal names the file and the way back; the file stays as it is, bit by bit."""
    state = await made(tmp_path)
    path = state.root / "control.db"
    assert control_problem(state) == ""
    damage(path)
    before = path.read_bytes() if path.is_file() else b""
    assert str(path) in (said := control_problem(state))
    assert "Backup and restore" in said
    if damage is not truncated:  # half a file has a whole first page: what is beyond shows in use
        db = Database.open(f"sqlite:///{path}")
        with pytest.raises(DamagedError, match="restore a backup") as caught:
            await db.migrate()
        assert str(path) in caught.value.message
        await db.close()
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_build_logs_that_were_set_aside_are_told(tmp_path: Path) -> None:
    """Promise: `status` says so until somebody deletes the file."""
    state = StateDir(tmp_path / "s")
    state.prepare()
    assert telemetry_note(state) == ""
    aside = state.root / "telemetry.db.damaged-20260101T000000Z"
    aside.write_text("x")
    assert aside.name in telemetry_note(state)
