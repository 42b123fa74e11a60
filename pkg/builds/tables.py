"""The tables of builds, their secrets and their build contexts."""

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
    false,
)

from pkg.db.metadata import metadata

builds = Table(
    "builds",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workspace_id", String(64), ForeignKey("workspaces.id"), nullable=False),
    Column("project_id", String(64), ForeignKey("projects.id"), nullable=False),
    Column("deployment_id", String(64)),
    Column("status", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("build_context_path", String(256), nullable=False),
    Column("dockerfile_path", String(512), nullable=False),
    Column("target", String(128), nullable=False),
    Column("platform", String(64), nullable=False),
    Column("build_args_json", JSON, nullable=False),
    Column("image_ref", String(512), nullable=False),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("cancel_requested_at", BigInteger),
    Column("traceparent", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("image_name", String(512), nullable=False, server_default=""),
    Column("attestations_json", JSON, nullable=False, server_default="[]"),
    Column("no_cache", Boolean, nullable=False, server_default=false()),
    Column("deleted_at", BigInteger),
    Index(None, "project_id", "id"),
    Index(None, "status"),
)

# Sealed until the build is terminal, then deleted.
build_secrets = Table(
    "build_secrets",
    metadata,
    Column("build_id", String(64), ForeignKey("builds.id"), primary_key=True),
    Column("secret_id", String(128), primary_key=True),
    Column("data_key", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

# Uploaded (or announced) build contexts. `checked_at` is set once the archive was found good.
contexts = Table(
    "contexts",
    metadata,
    Column("path", String(256), primary_key=True),
    Column("project_id", String(64), ForeignKey("projects.id"), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("checked_at", BigInteger),
)

# Uploads that are not known yet to be the context that they claim to be; see `pkg.builds.uploads`.
uploads = Table(
    "uploads",
    metadata,
    Column("path", String(256), primary_key=True),
    Column("context_path", String(256), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "context_path"),
    Index(None, "expires_at"),
)
