"""Whether a region's engine answers."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; each krane says within a heartbeat how its engine is."""
    op.add_column("regions", sa.Column("engine_away", sa.String(length=256), nullable=False, server_default=""))
    op.add_column("regions", sa.Column("engine_seen_at", sa.BigInteger(), nullable=False, server_default="0"))
