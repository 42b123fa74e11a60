"""Variables whose values may be seen."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the mark; what there is stays sealed from every eye."""
    op.add_column(
        "environment_variables", sa.Column("is_plain", sa.Boolean(), nullable=False, server_default=sa.false())
    )
