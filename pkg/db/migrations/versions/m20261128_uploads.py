"""Uploads to a path of their own, for object stores that can't bind an upload to its content."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_uploads"
down_revision = "20261128_depot_project"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table; what was uploaded before lies at the path of its content."""
    op.create_table(
        "uploads",
        sa.Column("path", sa.String(length=256), nullable=False),
        sa.Column("context_path", sa.String(length=256), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_context_path"), "uploads", ["context_path"])
    op.create_index(op.f("ix_uploads_expires_at"), "uploads", ["expires_at"])
