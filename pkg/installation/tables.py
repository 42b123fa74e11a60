"""The table of the installation."""

from sqlalchemy import BigInteger, Column, Integer, String, Table

from pkg.db.metadata import metadata

# One row. `epoch` changes when the database is restored from a backup: krane then asks for a snapshot.
installation = Table(
    "installation",
    metadata,
    Column("row", Integer, primary_key=True),
    Column("installation_id", String(64), nullable=False),
    Column("epoch", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
