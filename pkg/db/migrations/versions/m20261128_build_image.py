"""The name of a built image, what is attached to it, and whether a build uses the cache."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_build_image"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; of builds before the upgrade, neither name nor attestations are known."""
    op.add_column("builds", sa.Column("image_name", sa.String(length=512), nullable=False, server_default=""))
    op.add_column("builds", sa.Column("attestations_json", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("builds", sa.Column("no_cache", sa.Boolean(), nullable=False, server_default=sa.false()))
