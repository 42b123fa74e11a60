"""Further process types of an app: their instances, their numbers, and whether they are to run."""

import sqlalchemy as sa
from alembic import op

revision = "20261129_processes"
down_revision = "20261129_jobs"
branch_labels = None
depends_on = None

_COLUMNS = (
    "region, deployment_id, replica, instance_id, state, reason, exit_code, log_tail_json, last_probe, image_id,"
    " restarts, port_notice, waits_for, scaling_notice, observed_at, code, last_exit_json, restart_generation,"
    " started_at"
)


def upgrade() -> None:
    """Adds the columns. The process is a part of the key of instances: the table is made anew, and keeps its rows."""
    op.add_column(
        "environments", sa.Column("process_replicas_json", sa.JSON(), nullable=False, server_default=sa.text("'{}'"))
    )
    op.add_column("operations", sa.Column("process", sa.String(length=32), nullable=False, server_default=""))
    op.add_column(
        "deployments", sa.Column("processes_stopped", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.execute(sa.text("CREATE TABLE instances_before AS SELECT * FROM instances"))
    op.drop_table("instances")
    op.create_table(
        "instances",
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("deployment_id", sa.String(length=64), nullable=False),
        sa.Column("process", sa.String(length=32), nullable=False, server_default=""),
        sa.Column("replica", sa.Integer(), nullable=False),
        sa.Column("instance_id", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=1024), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("log_tail_json", sa.JSON(), nullable=False),
        sa.Column("last_probe", sa.String(length=512), nullable=False),
        sa.Column("image_id", sa.String(length=128), nullable=False),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("port_notice", sa.String(length=1024), nullable=False, server_default=""),
        sa.Column("waits_for", sa.String(length=32), nullable=False, server_default=""),
        sa.Column("scaling_notice", sa.String(length=1024), nullable=False, server_default=""),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False, server_default=""),
        sa.Column("last_exit_json", sa.JSON(), nullable=True),
        sa.Column("restart_generation", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("started_at", sa.BigInteger(), nullable=False, server_default="0"),
        sa.ForeignKeyConstraint(["region"], ["regions.name"], name=op.f("fk_instances_region")),
        sa.PrimaryKeyConstraint("region", "deployment_id", "process", "replica", name=op.f("pk_instances")),
    )
    op.create_index(op.f("ix_instances_deployment_id"), "instances", ["deployment_id"])
    op.execute(sa.text(f"INSERT INTO instances ({_COLUMNS}) SELECT {_COLUMNS} FROM instances_before"))  # noqa: S608
    op.drop_table("instances_before")
