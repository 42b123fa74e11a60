"""The table of workspaces."""

from sqlalchemy import BigInteger, Column, Integer, String, Table

from pkg.db.metadata import metadata

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("slug", String(64), nullable=False, unique=True),
    Column("build_slots", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
