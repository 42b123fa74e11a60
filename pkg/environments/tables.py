"""The tables of environments and their variables."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    false,
)

from pkg.db.metadata import metadata

# `next_seq` orders the intents (deploys, promotes, rollbacks) of the environment.
environments = Table(
    "environments",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workspace_id", String(64), ForeignKey("workspaces.id"), nullable=False),
    Column("project_id", String(64), ForeignKey("projects.id"), nullable=False),
    Column("slug", String(40), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("settings_json", JSON, nullable=False),
    Column("is_rolled_back", Boolean, nullable=False),
    Column("next_seq", BigInteger, nullable=False),
    Column("data_key", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("replicas", Integer),  # as they were scaled last; NULL: each deployment has the number of its settings
    Column("process_replicas_json", JSON, nullable=False, server_default="{}"),  # the same by process
    # of whoever deletes it; once it is deleted, its slug is its id, so that the name is free again
    Column("deletion_id", String(64)),
    Column("deleted_at", BigInteger),
    UniqueConstraint("project_id", "slug"),
)

environment_variables = Table(
    "environment_variables",
    metadata,
    Column("environment_id", String(64), ForeignKey("environments.id"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("is_plain", Boolean, nullable=False, server_default=false()),
)
