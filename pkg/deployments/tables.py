"""The tables of deployments, their steps and their adopted ports."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from pkg.db.metadata import metadata

deployments = Table(
    "deployments",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workspace_id", String(64), ForeignKey("workspaces.id"), nullable=False),
    Column("project_id", String(64), ForeignKey("projects.id"), nullable=False),
    Column("environment_id", String(64), ForeignKey("environments.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("branch", String(255), nullable=False),
    Column("keyspace_id", String(128)),
    Column("status", String(16), nullable=False),
    Column("run_state", String(16), nullable=False),
    Column("source", String(16), nullable=False),
    Column("git_json", JSON, nullable=False),
    Column("docker_image", String(512), nullable=False),
    Column("build_id", String(64)),
    Column("image_ref", String(512), nullable=False),
    Column("image_region", String(40)),
    Column("settings_json", JSON, nullable=False),
    Column("variables_sealed", LargeBinary),
    Column("plain_variables_json", JSON, nullable=False, server_default="[]"),
    Column("notices_json", JSON, nullable=False),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("error_step", String(16)),
    Column("cancel_requested_at", BigInteger),
    Column("cancel_reason", String(16)),
    Column("traceparent", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("run_state_at", BigInteger, nullable=False),
    Column("last_output_json", JSON, nullable=False, server_default="[]"),
    Column("restart_generation", BigInteger, nullable=False, server_default="0"),
    Column("processes_stopped", Boolean, nullable=False, server_default=false()),
    # of whoever deletes it; once it is deleted, it has no content any more
    Column("deletion_id", String(64)),
    Column("deleted_at", BigInteger),
    UniqueConstraint("environment_id", "seq"),
    Index(None, "project_id", "id"),
    Index(None, "status"),
    Index(None, "run_state"),
)

deployment_steps = Table(
    "deployment_steps",
    metadata,
    Column("deployment_id", String(64), ForeignKey("deployments.id"), primary_key=True),
    Column("name", String(16), primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("error", String(512)),
)

# The port on which the app of a deployment without a set port listens; not part of the snapshot, written once.
deployment_ports = Table(
    "deployment_ports",
    metadata,
    Column("deployment_id", String(64), ForeignKey("deployments.id"), primary_key=True),
    Column("port", Integer, nullable=False),
    Column("region", String(40), nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
)
