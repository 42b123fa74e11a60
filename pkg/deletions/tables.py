"""The table of deletions."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, String, Table, Text

from pkg.db.metadata import metadata

# `environment_id` and `deployment_id` are "" for what is wider. The slugs are kept here: those of what was deleted are
# free again.
deletions = Table(
    "deletions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workspace_id", String(64), ForeignKey("workspaces.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("project_slug", String(40), nullable=False),
    Column("environment_id", String(64), nullable=False),
    Column("environment_slug", String(40), nullable=False),
    Column("deployment_id", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("step", String(16), nullable=False),
    Column("waits_for", Text, nullable=False),
    Column("skips_regions", Boolean, nullable=False),
    Column("notices_json", JSON, nullable=False),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("traceparent", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index(None, "status"),
    Index(None, "project_id", "id"),
)
