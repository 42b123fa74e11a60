"""Every table of the control database.

Times are epoch milliseconds. Statuses are stored as the lower-case words of the architecture and guarded in SQL.
Columns named `*_json` hold JSON made by our own code; `sealed` columns hold what `pkg.secrets` sealed.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# BigInteger does not count up by itself on SQLite
_AutoId = BigInteger().with_variant(Integer, "sqlite")

# One row. `epoch` changes when the database is restored from a backup: krane then asks for a snapshot.
# `draining_since`: intents are recorded and not handed to Restate, from then until the stack was started again.
installation = Table(
    "installation",
    metadata,
    Column("row", Integer, primary_key=True),
    Column("installation_id", String(64), nullable=False),
    Column("epoch", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("draining_since", BigInteger),
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("slug", String(64), nullable=False, unique=True),
    Column("build_slots", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workspace_id", String(64), ForeignKey("workspaces.id"), nullable=False),
    Column("name", String(120), nullable=False),
    Column("role", String(16), nullable=False),
    Column("region", String(40)),
    Column("hash", String(64), nullable=False, unique=True),
    Column("hint", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
)

projects = Table(
    "projects",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workspace_id", String(64), ForeignKey("workspaces.id"), nullable=False),
    Column("slug", String(40), nullable=False),
    Column("name", String(120), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("workspace_id", "slug"),
)

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
    UniqueConstraint("environment_id", "seq"),
    Index(None, "project_id", "id"),
    Index(None, "status"),
    Index(None, "run_state"),
)

# Where the app of a deployment without a set port was found to listen; beside the snapshot, written once.
deployment_ports = Table(
    "deployment_ports",
    metadata,
    Column("deployment_id", String(64), ForeignKey("deployments.id"), primary_key=True),
    Column("port", Integer, nullable=False),
    Column("region", String(40), nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
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

routes = Table(
    "routes",
    metadata,
    Column("hostname", String(253), primary_key=True),
    Column("workspace_id", String(64), ForeignKey("workspaces.id"), nullable=False),
    Column("project_id", String(64), ForeignKey("projects.id"), nullable=False),
    Column("environment_id", String(64), ForeignKey("environments.id"), nullable=False),
    Column("deployment_id", String(64), ForeignKey("deployments.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("sticky", String(16), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index(None, "deployment_id"),
    Index(None, "environment_id"),
)

# Which deployments held a route before: where an undo or a rollback may go back to.
route_history = Table(
    "route_history",
    metadata,
    Column("id", _AutoId, primary_key=True, autoincrement=True),
    Column("hostname", String(253), nullable=False),
    Column("deployment_id", String(64), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("moved_at", BigInteger, nullable=False),
    Index(None, "hostname", "id"),
)

regions = Table(
    "regions",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("krane_instance_id", String(64), nullable=False),
    Column("krane_version", String(64), nullable=False),
    Column("runtime", String(16), nullable=False),
    Column("engine", String(256), nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("applied_version", BigInteger, nullable=False),
    Column("applied_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("engine_away", String(256), nullable=False, server_default=""),
    Column("engine_seen_at", BigInteger, nullable=False, server_default="0"),
)

# Changes that a region's ingress refused; removed once a later report does not name the hostname.
region_nacks = Table(
    "region_nacks",
    metadata,
    Column("region", String(40), ForeignKey("regions.name"), primary_key=True),
    Column("hostname", String(253), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("message", String(1024), nullable=False),
    Column("reported_at", BigInteger, nullable=False),
)

# What a region is to run.
topologies = Table(
    "topologies",
    metadata,
    Column("deployment_id", String(64), ForeignKey("deployments.id"), primary_key=True),
    Column("region", String(40), ForeignKey("regions.name"), primary_key=True),
    Column("image_ref", String(512), nullable=False),
    Column("stopped", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

# What a region says it runs.
instances = Table(
    "instances",
    metadata,
    Column("region", String(40), ForeignKey("regions.name"), primary_key=True),
    Column("deployment_id", String(64), primary_key=True),
    Column("replica", Integer, primary_key=True),
    Column("instance_id", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(1024), nullable=False),
    Column("exit_code", Integer),
    Column("log_tail_json", JSON, nullable=False),
    Column("last_probe", String(512), nullable=False),
    Column("image_id", String(128), nullable=False),
    Column("restarts", Integer, nullable=False),
    Column("port_notice", String(1024), nullable=False, server_default=""),
    Column("waits_for", String(32), nullable=False, server_default=""),
    Column("observed_at", BigInteger, nullable=False),
    Column("code", String(64), nullable=False, server_default=""),
    Column("last_exit_json", JSON),
    Index(None, "deployment_id"),
)

# One row: the sequencer. Locked by every transaction that changes desired state, so versions follow commit order.
desired_head = Table(
    "desired_head",
    metadata,
    Column("row", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("pruned_to", BigInteger, nullable=False),
)

# References only: the api renders what a reference stands for when it sends it.
desired_changes = Table(
    "desired_changes",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("key", String(253), nullable=False),
    Column("region", String(40)),
    Column("created_at", BigInteger, nullable=False),
)

# Intents on their way to Restate; written in the transaction of the intent.
dispatches = Table(
    "dispatches",
    metadata,
    Column("id", _AutoId, primary_key=True, autoincrement=True),
    Column("workflow", String(16), nullable=False),
    Column("key", String(64), nullable=False),
    Column("invocation_id", String(128)),
    Column("attempts", Integer, nullable=False),
    Column("last_error", String(512)),
    Column("created_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    UniqueConstraint("workflow", "key"),
    Index(None, "sent_at"),
)

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
    Index(None, "status"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("project_id", String(64), ForeignKey("projects.id"), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("payload_sha256", String(64), nullable=False),
    Column("result_id", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
