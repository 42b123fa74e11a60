"""A route may be an answer instead of leading to a deployment: that of a stopped app, whose hostname stays reserved."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_route_answers"
down_revision = "20261128_domains"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column, and lets a route have no deployment. Hostnames that were stopped before stay free."""
    with op.batch_alter_table("routes") as batch:
        batch.add_column(sa.Column("answer", sa.String(length=16), nullable=False, server_default=""))
        batch.alter_column("deployment_id", existing_type=sa.String(length=64), nullable=True)
