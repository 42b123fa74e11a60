"""What an instance waits for when its region has run out of something."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; instances reported before wait for nothing."""
    op.add_column("instances", sa.Column("waits_for", sa.String(length=32), nullable=False, server_default=""))
