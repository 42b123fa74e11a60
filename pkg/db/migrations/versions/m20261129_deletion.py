"""Deletions, and the marks of what is being deleted or was."""

import sqlalchemy as sa
from alembic import op

revision = "20261129_deletion"
down_revision = "20261129_environment_replicas"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table and the columns."""
    op.create_table(
        "deletions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("project_slug", sa.String(length=40), nullable=False),
        sa.Column("environment_id", sa.String(length=64), nullable=False),
        sa.Column("environment_slug", sa.String(length=40), nullable=False),
        sa.Column("deployment_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.String(length=16), nullable=False),
        sa.Column("waits_for", sa.Text(), nullable=False),
        sa.Column("skips_regions", sa.Boolean(), nullable=False),
        sa.Column("notices_json", sa.JSON(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("traceparent", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_deletions_workspace_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deletions")),
    )
    op.create_index(op.f("ix_deletions_status"), "deletions", ["status"])
    op.create_index(op.f("ix_deletions_project_id_id"), "deletions", ["project_id", "id"])
    for table in ("projects", "environments", "deployments"):
        op.add_column(table, sa.Column("deletion_id", sa.String(length=64), nullable=True))
        op.add_column(table, sa.Column("deleted_at", sa.BigInteger(), nullable=True))
    op.add_column("builds", sa.Column("deleted_at", sa.BigInteger(), nullable=True))
