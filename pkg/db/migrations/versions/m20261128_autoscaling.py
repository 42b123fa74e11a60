"""Why the number of a deployment's instances does not follow the load in a region."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_autoscaling"
down_revision = "20261128_uploads"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column. Snapshots of before have no bounds: their number of instances is fixed."""
    op.add_column("instances", sa.Column("scaling_notice", sa.String(length=1024), nullable=False, server_default=""))
