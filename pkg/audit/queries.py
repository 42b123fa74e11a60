"""Statements about the audit log."""

from sqlalchemy import Connection, delete, insert

from pkg.audit.model import AuditEntry
from pkg.audit.tables import audit_log
from pkg.ids import new_id

KEEP_MS = 180 * 24 * 3600 * 1000


def record(connection: Connection, entry: AuditEntry) -> None:
    """Adds the entry. Call it in the transaction that makes the change: both are committed, or neither."""
    connection.execute(
        insert(audit_log).values(
            id=new_id("aud"),
            at=entry.at,
            workspace_id=entry.workspace_id,
            key_id=entry.key_id,
            key_name=entry.key_name,
            method=entry.method,
            request_id=entry.request_id,
            targets_json=dict(entry.targets),
        )
    )


def forget_old(connection: Connection, now: int) -> int:
    """Deletes entries older than 180 days. Returns how many."""
    return connection.execute(delete(audit_log).where(audit_log.c.at <= now - KEEP_MS)).rowcount
