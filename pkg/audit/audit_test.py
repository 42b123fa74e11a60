"""The audit log: written with the change, kept for 180 days."""

import pytest
from sqlalchemy import Connection, select

from pkg import audit
from pkg.audit.queries import KEEP_MS
from pkg.audit.tables import audit_log
from pkg.db import Database

NOW = 1_800_000_000_000


def entry(at: int, request_id: str) -> audit.AuditEntry:
    return audit.AuditEntry(
        at=at,
        workspace_id="ws_1",
        key_id="key_1",
        key_name="ci",
        method="/sealift.ctrl.v1.ProjectService/CreateProject",
        request_id=request_id,
        targets={"project_id": "proj_1"},
    )


def request_ids(connection: Connection) -> list[str]:
    return list(connection.execute(select(audit_log.c.request_id).order_by(audit_log.c.at)).scalars())


async def test_old_entries_are_deleted(db: Database) -> None:
    """Promise: the log is bounded in time: entries older than 180 days are deleted, the others stay unchanged."""
    for at, request_id in ((NOW - KEEP_MS, "old"), (NOW - KEEP_MS + 1, "kept"), (NOW, "new")):
        await db.write(audit.record, entry(at, request_id))
    assert await db.write(audit.forget_old, NOW) == 1
    assert await db.read(request_ids) == ["kept", "new"]


async def test_an_entry_is_part_of_the_transaction(db: Database) -> None:
    """Promise: a change that is rolled back leaves no entry."""

    def fails(connection: Connection) -> None:
        audit.record(connection, entry(NOW, "failed"))
        raise ValueError("too late")

    with pytest.raises(ValueError, match="too late"):
        await db.write(fails)
    assert await db.read(request_ids) == []
