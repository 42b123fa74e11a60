"""Problems with files of the state directory are reported; only `sealift-admin` opens the database."""

import subprocess
import sys
from pathlib import Path

from pkg.testing.wait import WAIT_S
from svc.standalone import admin
from svc.standalone.command import ROOT
from svc.standalone.notes import telemetry_note
from svc.standalone.statedir import StateDir


async def test_a_damaged_control_database_is_told(tmp_path: Path) -> None:
    """Promise: the note names the file and the way back, and a database that is not there yet is no problem."""
    state = StateDir(tmp_path / "s")
    state.prepare()
    assert await admin.database_problem(state) == ""
    assert await admin.installation_id(state) == ""
    path = state.root / "control.db"
    path.write_bytes(b"x" * 20_000)
    said = await admin.database_problem(state)
    assert str(path) in said
    assert "Backup and restore" in said
    assert path.read_bytes() == b"x" * 20_000


def test_restored_is_done_by_sealift_admin(tmp_path: Path) -> None:
    """The command of before still works: same directory, same exit code, and it says what to do."""
    argv = [sys.executable, "-m", "svc.standalone", "restored", "--state-dir", str(tmp_path / "s")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=WAIT_S)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("sealift-admin: ")
    assert "copy the backup" in done.stderr


def test_build_logs_that_were_set_aside_are_told(tmp_path: Path) -> None:
    """Promise: `status` says so until somebody deletes the file."""
    state = StateDir(tmp_path / "s")
    state.prepare()
    assert telemetry_note(state) == ""
    aside = state.root / "telemetry.db.damaged-20260101T000000Z"
    aside.write_text("x")
    assert aside.name in telemetry_note(state)
