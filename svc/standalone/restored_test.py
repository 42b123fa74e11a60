"""A restored backup gets an epoch of its own, and nothing else is changed by accident."""

import os
import sqlite3
from pathlib import Path

import pytest

from pkg.db import Database
from pkg.installation import queries as installation
from svc.standalone.__main__ import main
from svc.standalone.errors import StartupError
from svc.standalone.restored import new_epoch
from svc.standalone.statedir import StateDir


@pytest.fixture
async def state(tmp_path: Path) -> StateDir:
    """With the database of an installation that ran."""
    made = StateDir(tmp_path / "s")
    made.prepare()
    database = Database.open(f"sqlite:///{made.root / 'control.db'}")
    await database.migrate()
    await database.write(installation.ensure, 2, 1)
    await database.close()
    return made


def row(state: StateDir) -> tuple[str, str]:
    with sqlite3.connect(state.root / "control.db") as database:
        found: tuple[str, str] = database.execute("SELECT installation_id, epoch FROM installation").fetchone()
    return found


def test_a_new_epoch_each_time(state: StateDir, capsys: pytest.CaptureFixture[str]) -> None:
    """krane gets a complete snapshot after a restore; the installation stays the same, so its labels still match."""
    identity, epoch = row(state)
    assert main(["restored", "--state-dir", str(state.root)]) == 0
    assert "start the stack" in capsys.readouterr().out
    again, changed = row(state)
    assert again == identity
    assert changed != epoch


def test_not_while_the_stack_runs(state: StateDir) -> None:
    """The api would go on with the epoch that it knows."""
    before = row(state)
    held = state.lock()
    with pytest.raises(StartupError, match="in use"):
        new_epoch(state)
    os.close(held)
    assert row(state) == before


def test_what_is_no_backup_is_said(tmp_path: Path) -> None:
    """A wrong directory is named and nothing is made in it."""
    state = StateDir(tmp_path / "s")
    with pytest.raises(StartupError, match="copy the backup"):
        new_epoch(state)
    assert not state.root.exists()
    state.prepare()
    (state.root / "control.db").write_text("no database, but long enough to have been one" * 100)
    with pytest.raises(StartupError, match="damaged"):
        new_epoch(state)


def test_the_database_is_private(state: StateDir) -> None:
    """Sealed or not, what the database holds is for its user only."""
    assert (state.root / "control.db").stat().st_mode & 0o777 == 0o600
