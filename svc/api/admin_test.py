"""`sealift-admin` works on a database that no other process has open, and changes nothing by accident."""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from pkg import filelock
from pkg.db import Database, offline
from pkg.db.faults import DamagedError
from pkg.installation import queries as installation
from svc.api.admin import main


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """The state directory of an installation that ran."""
    made = tmp_path / "s"
    made.mkdir(mode=0o700)
    database = Database.open(f"sqlite:///{made / 'control.db'}")
    await database.migrate()
    await database.write(installation.ensure, 1)
    await database.close()
    return made


def row(state: Path) -> tuple[str, str]:
    with sqlite3.connect(state / "control.db") as database:
        found: tuple[str, str] = database.execute("SELECT installation_id, epoch FROM installation").fetchone()
    database.close()
    return found


def test_a_new_epoch_each_time(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """krane gets a complete snapshot after a restore; the installation stays the same, so its labels still match."""
    identity, epoch = row(state)
    assert main(["restored", "--state-dir", str(state)]) == 0
    assert "Start the stack" in capsys.readouterr().out
    again, changed = row(state)
    assert again == identity
    assert changed != epoch
    assert main(["installation", "--state-dir", str(state)]) == 0
    assert capsys.readouterr().out == f"{identity}\n"


def test_a_backup_of_older_code_is_restored(state: Path) -> None:
    """The schema of a backup is what it was then; the next start migrates it."""
    with sqlite3.connect(state / "control.db") as database:
        database.execute("DROP TABLE installation")
        database.execute("CREATE TABLE installation (row INTEGER, installation_id TEXT, epoch TEXT)")
        database.execute("INSERT INTO installation VALUES (1, 'inst_old', 'before')")
    database.close()
    assert main(["restored", "--state-dir", str(state)]) == 0
    assert row(state)[0] == "inst_old"
    assert row(state)[1] != "before"


def test_a_database_of_a_newer_version_is_told(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who started an older version learns from `check`, and so from `status`, why nothing starts. Nothing changes."""
    with sqlite3.connect(state / "control.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '20991231_later'")
    database.close()
    before = row(state)
    assert main(["check", "--json", "--state-dir", str(state)]) == 1
    assert "a newer version has upgraded it" in json.loads(capsys.readouterr().out)["problem"]
    assert row(state) == before


def test_not_while_the_stack_runs(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A supervisor holds the state directory; the api would continue with the epoch that it knows."""
    before = row(state)
    held = filelock.acquire(state / "lock")
    assert held is not None
    assert main(["restored", "--state-dir", str(state)]) == 1
    assert "in use by a supervisor: stop the stack" in capsys.readouterr().err
    os.close(held)
    assert row(state) == before


async def test_not_while_any_service_has_the_database(
    state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Services as containers hold no lock: an api that is idle is seen by its connection."""
    monkeypatch.setattr(offline, "BUSY_TIMEOUT_MS", 50)
    before = row(state)
    api = Database.open(f"sqlite:///{state / 'control.db'}")
    assert await api.read(installation.find_id)
    assert main(["restored", "--state-dir", str(state)]) == 1
    assert "control.db open: stop every api and worker" in capsys.readouterr().err
    await api.close()
    assert row(state) == before
    assert main(["restored", "--state-dir", str(state)]) == 0


def test_the_database_is_named_by_the_api_s_configuration(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no supervisor runs, the api's own file says which database it is; with none of both, nothing is guessed."""
    config = tmp_path / "api.toml"
    config.write_text(
        f'[database]\nurl = "sqlite:///{state}/control.db"\n[telemetry]\npath = "{state}/telemetry.db"\n'
        f'[objects]\nroot = "{state}/objects"\nsigning_key_file = "{state}/urls.key"\n'
        f'[restate]\ningress = "http://h:1"\nadmin = "http://h:2"\n[vault]\nmaster_key_file = "{state}/master.key"\n'
    )
    assert main(["installation", "--config", str(config)]) == 0
    assert capsys.readouterr().out.strip() == row(state)[0]
    for name in ("SEALIFT_CONFIG", "SEALIFT_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as usage:
        main(["restored"])
    assert usage.value.code == 2
    assert "--state-dir" in capsys.readouterr().err


def test_what_is_no_backup_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong directory is named and nothing is made in it."""
    state = tmp_path / "s"
    assert main(["restored", "--state-dir", str(state)]) == 1
    assert "copy the backup" in capsys.readouterr().err
    assert main(["installation", "--state-dir", str(state)]) == 0
    assert main(["check", "--state-dir", str(state)]) == 0
    assert not state.exists()
    state.mkdir()
    (state / "control.db").write_text("no database, but long enough to have been one" * 100)
    assert main(["restored", "--state-dir", str(state)]) == 1
    assert "damaged" in capsys.readouterr().err


def test_the_database_is_private(state: Path) -> None:
    """Sealed or not, what the database holds is for its user only."""
    assert (state / "control.db").stat().st_mode & 0o777 == 0o600


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def no_file(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [truncated, garbage, no_file], ids=lambda fn: fn.__name__)
async def test_a_damaged_database(
    state: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Promise: the refusal names the file and the way back; the file stays as it is, bit by bit."""
    path = state / "control.db"
    assert main(["check", "--state-dir", str(state)]) == 0
    assert "whole" in capsys.readouterr().out
    damage(path)
    before = path.read_bytes() if path.is_file() else b""
    assert main(["check", "--state-dir", str(state)]) == 1
    assert str(path) in (output := capsys.readouterr().out)
    assert "Backup and restore" in output
    assert main(["check", "--json", "--state-dir", str(state)]) == 1
    assert json.loads(capsys.readouterr().out)["problem"] == output.strip()
    if damage is not truncated:  # half a file has a whole first page: what is beyond shows in use
        db = Database.open(f"sqlite:///{path}")
        with pytest.raises(DamagedError, match="restore a backup") as caught:
            await db.migrate()
        assert str(path) in caught.value.message
        await db.close()
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_database_is_migrated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Job makes or migrates the database before the services start; again changes nothing; a newer one is refused."""
    path = tmp_path / "control.db"
    for _ in range(2):
        assert main(["migrate", "--state-dir", str(tmp_path)]) == 0
    assert "the schema of this version" in capsys.readouterr().out
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM deployments").fetchone() == (0,)
        database.execute("UPDATE alembic_version SET version_num = '20991231_later'")
    database.close()
    assert main(["migrate", "--state-dir", str(tmp_path)]) == 2
    assert "a newer version has upgraded it" in capsys.readouterr().err
