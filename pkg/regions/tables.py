"""The tables of regions: what each is to run, what it reports, what its ingress refused."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table

from pkg.db.metadata import metadata

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
    Column("capabilities_json", JSON, nullable=False, server_default="[]"),
    Column("unsupported_json", JSON, nullable=False, server_default="[]"),
    Column("architecture", String(32), nullable=False, server_default=""),
    Column("host_name", String(253), nullable=False, server_default=""),
    Column("cpus", Integer, nullable=False, server_default="0"),
    Column("memory_mib", BigInteger, nullable=False, server_default="0"),
    Column("leader_term", BigInteger, nullable=False, server_default="0"),
)

# The kranes of a region, each with an Envoy of its own.
krane_replicas = Table(
    "krane_replicas",
    metadata,
    Column("region", String(40), ForeignKey("regions.name"), primary_key=True),
    Column("replica_id", String(64), primary_key=True),
    Column("krane_instance_id", String(64), nullable=False),
    Column("is_shared", Boolean, nullable=False),
    Column("is_counted", Boolean, nullable=False),
    Column("applied_version", BigInteger, nullable=False),
    Column("last_contact_at", BigInteger, nullable=False),
    Column("announced_since", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("still_served_json", JSON, nullable=False),
    Column("unsupported_json", JSON, nullable=False),
    Column("capabilities_json", JSON, nullable=False),
)

# Changes that a counted replica's ingress refused; removed once a later report does not name the hostname.
replica_nacks = Table(
    "replica_nacks",
    metadata,
    Column("region", String(40), ForeignKey("regions.name"), primary_key=True),
    Column("replica_id", String(64), primary_key=True),
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
    Column("process", String(32), primary_key=True, server_default=""),
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
    Column("scaling_notice", String(1024), nullable=False, server_default=""),
    Column("observed_at", BigInteger, nullable=False),
    Column("code", String(64), nullable=False, server_default=""),
    Column("last_exit_json", JSON),
    Column("restart_generation", BigInteger, nullable=False, server_default="0"),
    Column("started_at", BigInteger, nullable=False, server_default="0"),
    Index(None, "deployment_id"),
)
