"""The mark of a drain."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column."""
    op.add_column("installation", sa.Column("draining_since", sa.BigInteger(), nullable=True))
