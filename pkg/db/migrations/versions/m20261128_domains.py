"""Domains of users."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_domains"
down_revision = "20261128_certificates"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "domains",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("workspace_id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("environment_id", sa.String(length=64), nullable=False),
        sa.Column("hostname", sa.String(length=253), nullable=False),
        sa.Column("registrable", sa.String(length=253), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("is_owned", sa.Boolean(), nullable=False),
        sa.Column("is_right", sa.Boolean(), nullable=False),
        sa.Column("report_json", sa.JSON(), nullable=False),
        sa.Column("checking_since", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.Column("next_check_at", sa.BigInteger(), nullable=True),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("fk_domains_workspace_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_domains_project_id")),
        sa.ForeignKeyConstraint(["environment_id"], ["environments.id"], name=op.f("fk_domains_environment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_domains")),
        sa.UniqueConstraint("workspace_id", "hostname", name=op.f("uq_domains_workspace_id_hostname")),
    )
    op.create_index(op.f("ix_domains_hostname"), "domains", ["hostname"])
    op.create_index(op.f("ix_domains_environment_id"), "domains", ["environment_id"])
    op.create_index(op.f("ix_domains_project_id_hostname"), "domains", ["project_id", "hostname"])
    op.create_index(op.f("ix_domains_next_check_at"), "domains", ["next_check_at"])
