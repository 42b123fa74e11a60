"""The tables of the desired-state feed."""

from sqlalchemy import BigInteger, Column, Integer, String, Table

from pkg.db.metadata import metadata

# One row: the sequencer. Locked by every transaction that changes desired state, so versions follow commit order.
desired_head = Table(
    "desired_head",
    metadata,
    Column("row", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("pruned_to", BigInteger, nullable=False),
)

# References only: the api renders what a reference stands for when it sends it.
desired_changes = Table(
    "desired_changes",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("key", String(253), nullable=False),
    Column("region", String(40)),
    Column("created_at", BigInteger, nullable=False),
)
