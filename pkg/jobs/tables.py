"""The table of jobs."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from pkg.db.metadata import metadata

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workspace_id", String(64), ForeignKey("workspaces.id"), nullable=False),
    Column("project_id", String(64), ForeignKey("projects.id"), nullable=False),
    Column("environment_id", String(64), ForeignKey("environments.id"), nullable=False),
    Column("deployment_id", String(64), ForeignKey("deployments.id"), nullable=False),
    Column("region", String(40), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("image_ref", String(512), nullable=False),
    Column("command_json", JSON, nullable=False),
    Column("timeout_s", Integer, nullable=False),
    Column("waits_for", String(1024), nullable=False),
    Column("wanted_at", BigInteger),
    Column("running_at", BigInteger),
    Column("observed_at", BigInteger),
    Column("stop_requested_at", BigInteger),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("exit_code", Integer),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("log_tail_json", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "status"),
    Index(None, "environment_id", "id"),
    Index(None, "deployment_id"),
)
