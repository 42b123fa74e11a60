"""The table of drains."""

from sqlalchemy import BigInteger, Column, Index, String, Table, text

from pkg.db.metadata import metadata

drains = Table(
    "drains",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("reason", String(16), nullable=False),
    Column("client", String(120), nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    # one of a client for a reason at a time: beginning it again is the same one
    Index(
        "uq_drains_active",
        "reason",
        "client",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)
