"""The table of intents on their way to Restate."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, UniqueConstraint

from pkg.db.metadata import AUTO_ID, metadata

# Intents on their way to Restate; written in the transaction of the intent.
dispatches = Table(
    "dispatches",
    metadata,
    Column("id", AUTO_ID, primary_key=True, autoincrement=True),
    Column("workflow", String(16), nullable=False),
    Column("key", String(64), nullable=False),
    Column("invocation_id", String(128)),
    Column("attempts", Integer, nullable=False),
    Column("last_error", String(512)),
    Column("created_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    UniqueConstraint("workflow", "key"),
    Index(None, "sent_at"),
)
