"""Promise: the mark of a drain is set and taken away beside a running api, and what is under way is read rightly."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, update

from pkg.builds.model import BuildStatus
from pkg.builds.tables import builds
from pkg.clock import now_ms
from pkg.db import Database
from pkg.deployments.status import Status
from pkg.deployments.tables import deployments as table
from pkg.installation import queries as installation
from pkg.operations.model import OperationStatus
from pkg.operations.tables import operations
from pkg.testing.sample_project import SampleProject, add_sample_project, record_deploy
from pkg.workflows import outbox as dispatch
from pkg.workflows.building import BUILD
from pkg.workflows.switch import SWITCH
from pkg.workflows.tables import dispatches
from svc.standalone import draining
from svc.standalone.__main__ import main
from svc.standalone.errors import StartupError
from svc.standalone.statedir import StateDir


@pytest.fixture
async def state(tmp_path: Path) -> StateDir:
    """With the database of an installation that ran."""
    made = StateDir(tmp_path / "s")
    made.prepare()
    return made


@pytest.fixture
async def db(state: StateDir) -> Database:
    """Open as the api has it."""
    database = Database.open(f"sqlite:///{state.root / 'control.db'}")
    await database.migrate()
    return database


async def test_the_mark_keeps_its_time_and_is_taken_away(state: StateDir, db: Database) -> None:
    """A second drain is the same one; the end of one may be repeated."""
    await db.write(installation.ensure, 2, 1)
    assert draining.since(state) is None
    draining.mark(state)
    first = draining.since(state)
    assert first is not None
    assert abs(first - now_ms()) < 60_000
    assert await db.read(installation.is_draining)
    draining.mark(state)
    assert draining.since(state) == first
    assert await draining.end_for_certain(state)
    assert not await draining.end_for_certain(state)
    assert not await db.read(installation.is_draining)
    await db.close()


async def test_the_end_is_tried_until_it_works(state: StateDir, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that finds the database busy does not leave the queue standing."""
    monkeypatch.setattr(draining, "RETRY_S", 0.01)
    await db.write(installation.ensure, 2, 1)
    draining.mark(state)
    tried: list[float] = []
    unmark = draining.unmark

    def busy_at_first(state: StateDir, busy_timeout_s: float) -> None:
        tried.append(busy_timeout_s)
        if len(tried) < 3:
            raise StartupError("busy")
        unmark(state, busy_timeout_s)

    monkeypatch.setattr(draining, "unmark", busy_at_first)
    assert await draining.end_for_certain(state)
    assert tried == [draining.BRIEF_S] * 3
    assert draining.since(state) is None
    await db.close()


async def test_every_status_counts_as_what_it_is(state: StateDir, db: Database) -> None:
    """Ended ones are nobody's concern, those that Restate never had wait, all others are under way."""
    sample = await db.write(add_sample_project)

    def write(connection: Connection) -> dict[str, bool]:
        expected = {}
        for status in Status:
            found = record_deploy(connection, sample, image="nginx:1", branch=status)
            connection.execute(update(table).where(table.c.id == found.id).values(status=status))
            if not status.is_terminal:
                expected[found.id] = status is not Status.PENDING
        sent = record_deploy(connection, sample, branch="sent")  # its build is part of it
        for row in dispatch.due(connection):
            if row.key == sent.id:
                dispatch.mark_sent(connection, row.id, "inv_1", 1)
        # forgotten by Restate: to be sent again
        connection.execute(update(dispatches).where(dispatches.c.key == sent.id).values(sent_at=None))
        expected[sent.id] = True
        for operation in OperationStatus:
            ident = f"op_{operation}"
            _add_operation(connection, sample, ident, operation, sent.id)
            if not operation.is_terminal:
                expected[ident] = operation is not OperationStatus.PENDING
        for build in BuildStatus:
            ident = f"bld_{build}"
            _add_build(connection, sample, ident, build)
            if not build.is_terminal:
                expected[ident] = build is not BuildStatus.PENDING
        return expected

    expected = await db.write(write)
    found = draining.intents(state)
    assert {intent.id: intent.is_begun for intent in found} == expected
    assert {intent.what for intent in found} == {"deploy", "rollback", "build"}
    assert draining.outcome(state, "op_failed") == "failed"
    assert draining.outcome(state, "bld_running") == "running"
    assert draining.outcome(state, "dep_none") == "gone"
    await db.close()


def _add_operation(connection: Connection, sample: SampleProject, ident: str, status: str, deployment_id: str) -> None:
    connection.execute(
        insert(operations).values(
            id=ident, workspace_id=sample.workspace_id, environment_id=sample.production_id, kind="rollback",
            status=status, seq=1, deployment_id=deployment_id, notices_json=[], traceparent="", created_at=1,
        )
    )  # fmt: skip
    dispatch.add(connection, SWITCH, ident, 1)


def _add_build(connection: Connection, sample: SampleProject, ident: str, status: str) -> None:
    connection.execute(
        insert(builds).values(
            id=ident, workspace_id=sample.workspace_id, project_id=sample.project_id, status=status, attempt=0,
            build_context_path="", dockerfile_path="", target="", platform="", build_args_json={}, image_ref="",
            traceparent="", created_at=1,
        )
    )  # fmt: skip
    dispatch.add(connection, BUILD, ident, 1)


def test_a_drain_needs_a_stack_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is under way can't end without one; nothing is made in a directory that has none."""
    assert main(["drain", "--state-dir", str(tmp_path / "s")]) == 1
    assert "No supervisor runs" in capsys.readouterr().err
    assert main(["drain", "--undo", "--state-dir", str(tmp_path / "s")]) == 1
    assert "no stack was ever started" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_database_of_before_is_said(state: StateDir) -> None:
    """Code that is newer than the stack which runs can't drain it, and says so instead of waiting."""
    with sqlite3.connect(state.root / "control.db") as database:
        database.execute("CREATE TABLE installation (row INTEGER)")
    database.close()
    assert draining.since(state) is None
    with pytest.raises(StartupError, match="older than this code"):
        draining.mark(state)


def test_a_damaged_database_is_said(state: StateDir) -> None:
    """No traceback for an operator."""
    (state.root / "control.db").write_text("no database, but long enough to have been one" * 100)
    with pytest.raises(StartupError, match="can't be changed"):
        draining.mark(state)
    with pytest.raises(StartupError, match="can't be read"):
        draining.since(state)
