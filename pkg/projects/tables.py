"""The table of projects."""

from sqlalchemy import BigInteger, Column, ForeignKey, String, Table, UniqueConstraint

from pkg.db.metadata import metadata

projects = Table(
    "projects",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workspace_id", String(64), ForeignKey("workspaces.id"), nullable=False),
    Column("slug", String(40), nullable=False),
    Column("name", String(120), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # the project at Depot, once there is one; while a worker makes it, when that worker began
    Column("depot_project_id", String(64)),
    Column("depot_claimed_at", BigInteger),
    # of whoever deletes it; once it is deleted, its slug is its id, so that the name is free again
    Column("deletion_id", String(64)),
    Column("deleted_at", BigInteger),
    UniqueConstraint("workspace_id", "slug"),
)
