"""The project at Depot in which a project's images are built."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_depot_project"
down_revision = "20261128_build_image"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns: no project has one yet."""
    op.add_column("projects", sa.Column("depot_project_id", sa.String(length=64), nullable=True))
    op.add_column("projects", sa.Column("depot_claimed_at", sa.BigInteger(), nullable=True))
