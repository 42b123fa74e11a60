"""The table of the audit log."""

from sqlalchemy import JSON, BigInteger, Column, Index, String, Table

from pkg.db.metadata import metadata

# no foreign keys: a row outlives the key that made the change and what was changed
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("workspace_id", String(64), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("key_name", String(120), nullable=False),
    Column("method", String(255), nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("targets_json", JSON, nullable=False),
    Index("audit_log_by_workspace", "workspace_id", "at"),
    Index("audit_log_by_time", "at"),
)
