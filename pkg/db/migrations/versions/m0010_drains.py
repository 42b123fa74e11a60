"""Drains are rows: several at once, each with a reason."""

import sqlalchemy as sa
from alembic import op

from pkg.ids import new_id

revision = "0010"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table. An older mark becomes the supervisor's upgrade drain, which its next start ends."""
    drains = op.create_table(
        "drains",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("client", sa.String(length=120), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_drains"),
    )
    op.create_index(
        "uq_drains_active",
        "drains",
        ["reason", "client"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    since = op.get_bind().execute(sa.text("SELECT draining_since FROM installation")).scalar()
    if since is not None:
        op.bulk_insert(
            drains, [{"id": new_id("drain"), "reason": "upgrade", "client": "supervisor", "began_at": int(since)}]
        )
    op.drop_column("installation", "draining_since")
