"""Promise: a new workflow needs its own room and one line of the catalogue; all else follows.

The room of the throw-away workflow is this file: its table, its messages, its rules.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import BigInteger, Column, Connection, MetaData, String, Table, insert, literal, update

from pkg.clock import now_ms
from pkg.db import Database
from pkg.db.testing import fresh_database
from pkg.observability.metrics import Metrics
from pkg.observability.tracing import Tracing
from pkg.restate import Handler, RestateClient
from pkg.workflows import catalogue, outbox, queries
from pkg.workflows.building import BUILD
from pkg.workflows.model import Notification, Rows, Workflow
from sealift.workflow.v1.workflow_pb2 import Empty, NotifyRequest
from svc.api.dispatch.dispatcher import Dispatcher
from svc.api.dispatch.notifier import Notifier
from svc.api.dispatch.reconciler import Reconciler
from svc.api.testing import RecordingRestate, eventually

ERRAND_RUN = Handler("Errand", "run", StringValue, Empty)
ERRAND_APPLIED = Handler("Errand", "applied", NotifyRequest, Empty)

table = Table(
    "errands",
    MetaData(),
    Column("id", String(64), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("traceparent", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)


def _end_lost(connection: Connection, key: str, now: int) -> int | None:
    lost = update(table).where(table.c.id == key, table.c.status == "pending").values(status="failed")
    return now if connection.execute(lost).rowcount else None


ERRAND = Workflow(
    run=ERRAND_RUN,
    request=lambda key: StringValue(value=key),
    rows=Rows(table, terminal=frozenset({"run", "failed"}), kind=literal("errand")),
    is_awaited_by_drain=True,
    end_lost=_end_lost,
    applied=Notification(ERRAND_APPLIED, lambda connection, deployment_ids, now: ["err_1"]),
)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = fresh_database(tmp_path)

    def write(connection: Connection) -> None:
        table.create(connection)
        connection.execute(insert(table).values(id="err_1", status="pending", traceparent="", created_at=now_ms()))

    await database.write(write)
    yield database
    await database.close()


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line."""
    monkeypatch.setattr(catalogue, "ALL", (*catalogue.ALL, ERRAND))


@pytest.fixture
async def client(restate: RecordingRestate) -> AsyncIterator[RestateClient]:
    one = RestateClient(restate.url, restate.url)
    yield one
    await one.close()


async def test_what_is_not_in_the_catalogue_cannot_be_started(db: Database) -> None:
    """The intent is refused in its own transaction."""
    with pytest.raises(LookupError, match="'Errand'"):
        await db.write(outbox.add, ERRAND, "err_1", now_ms())
    assert await db.read(outbox.due) == []


async def test_it_is_dispatched_and_a_drain_waits_for_it(
    db: Database, restate: RecordingRestate, client: RestateClient, registered: None
) -> None:
    """Restate gets its message under its name; the drain sees that it has started."""
    await db.write(outbox.add, ERRAND, "err_1", now_ms())
    assert await Dispatcher(db, client, now_ms, Tracing()).send_due()
    (sent,) = restate.sent
    assert (sent.service, sent.handler, sent.key) == ("Errand", "run", "err_1")
    assert StringValue.FromString(sent.body).value == "err_1"
    (awaited,) = await db.read(queries.awaited_by_drain)
    assert (awaited.workflow, awaited.key, awaited.kind, awaited.is_begun) == (ERRAND, "err_1", "errand", True)
    assert await db.read(queries.status_of, "err_1") == "pending"


async def test_it_is_dispatched_again_or_ended_when_restate_lost_it(
    db: Database, restate: RecordingRestate, client: RestateClient, registered: None
) -> None:
    """Forgotten by Restate, it is sent again; ended there without an outcome, its own rule ends its row."""
    await db.write(outbox.add, ERRAND, "err_1", now_ms())
    dispatcher = Dispatcher(db, client, now_ms, Tracing())
    assert await dispatcher.send_due()
    reconciler = Reconciler(db, client, dispatcher, Metrics("api", "test"), now_ms)
    restate.status[("Errand", "err_1")] = 404
    await reconciler.reconcile()
    assert await dispatcher.send_due()
    assert restate.count("Errand", "run", "err_1") == 2
    restate.status[("Errand", "err_1")] = 200
    await reconciler.reconcile()
    assert await db.read(queries.status_of, "err_1") == "failed"
    assert await db.read(queries.awaited_by_drain) == []


async def test_it_is_notified_of_what_regions_report(
    db: Database, restate: RecordingRestate, client: RestateClient, registered: None
) -> None:
    """Its own rule names the runs that wait."""
    notifier = Notifier(client)
    for handler, key in await db.read(queries.awaiting_applied, now_ms()):
        notifier.notify(handler, key)
    sending = asyncio.create_task(notifier.run())
    try:
        await eventually(lambda: restate.count("Errand", "applied", "err_1") == 1, "notified")
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_work_of_a_workflow_that_this_code_does_not_know_stays_recorded(
    db: Database, restate: RecordingRestate, client: RestateClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older version that is started again leaves it to the newer one, and continues with its own."""
    with monkeypatch.context() as newer:
        newer.setattr(catalogue, "ALL", (*catalogue.ALL, ERRAND))
        await db.write(outbox.add, ERRAND, "err_1", now_ms())
    await db.write(outbox.add, BUILD, "bld_1", now_ms())
    assert await Dispatcher(db, client, now_ms, Tracing()).send_due()
    assert [sent.key for sent in restate.sent] == ["bld_1"]
