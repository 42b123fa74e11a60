"""The port that a deployment without a set one was found to listen on."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the table, and what instances say while no port could be adopted.

    Snapshots of before hold a port, also where nobody had set one: they keep it, and nothing is adopted for them.
    """
    op.create_table(
        "deployment_ports",
        sa.Column("deployment_id", sa.String(length=64), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name=op.f("fk_deployment_ports_deployment_id_deployments")
        ),
        sa.PrimaryKeyConstraint("deployment_id", name=op.f("pk_deployment_ports")),
    )
    op.add_column("instances", sa.Column("port_notice", sa.String(length=1024), nullable=False, server_default=""))
