"""The table of idempotency keys."""

from sqlalchemy import BigInteger, Column, ForeignKey, String, Table

from pkg.db.metadata import metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("project_id", String(64), ForeignKey("projects.id"), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("payload_sha256", String(64), nullable=False),
    Column("result_id", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
