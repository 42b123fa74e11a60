"""The table of operations."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from pkg.db.metadata import metadata

operations = Table(
    "operations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workspace_id", String(64), ForeignKey("workspaces.id"), nullable=False),
    Column("environment_id", String(64), ForeignKey("environments.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("deployment_id", String(64), ForeignKey("deployments.id"), nullable=False),
    Column("previous_deployment_id", String(64)),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("notices_json", JSON, nullable=False),
    Column("traceparent", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("replicas", Integer),
    Column("process", String(32), nullable=False, server_default=""),
    Index(None, "status"),
)
