"""Which of a deployment's variables may be seen."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; of deployments made before, every variable counts as secret."""
    op.add_column("deployments", sa.Column("plain_variables_json", sa.JSON(), nullable=False, server_default="[]"))
