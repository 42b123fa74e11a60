"""Instances are scaled and restarted: the number of an environment, and which restart an instance was made for."""

import sqlalchemy as sa
from alembic import op

revision = "20261129_environment_replicas"
down_revision = "20261128_route_answers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns. What was never scaled keeps the number of its settings."""
    op.add_column("environments", sa.Column("replicas", sa.Integer(), nullable=True))
    op.add_column("operations", sa.Column("replicas", sa.Integer(), nullable=True))
    op.add_column("deployments", sa.Column("restart_generation", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("instances", sa.Column("restart_generation", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("instances", sa.Column("started_at", sa.BigInteger(), nullable=False, server_default="0"))
