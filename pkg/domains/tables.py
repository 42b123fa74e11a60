"""The table of domains."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, String, Table, UniqueConstraint

from pkg.db.metadata import metadata

# Several workspaces may wait for the proof of one hostname; one at most holds it (status active). `next_check_at` is
# the schedule, so that it survives restarts.
domains = Table(
    "domains",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workspace_id", String(64), ForeignKey("workspaces.id"), nullable=False),
    Column("project_id", String(64), ForeignKey("projects.id"), nullable=False),
    Column("environment_id", String(64), ForeignKey("environments.id"), nullable=False),
    Column("hostname", String(253), nullable=False),
    Column("registrable", String(253), nullable=False),
    Column("token", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("is_owned", Boolean, nullable=False),
    Column("is_right", Boolean, nullable=False),
    Column("report_json", JSON, nullable=False),
    Column("checking_since", BigInteger, nullable=False),
    Column("checked_at", BigInteger),
    Column("next_check_at", BigInteger),
    Column("verified_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("workspace_id", "hostname"),
    Index(None, "hostname"),
    Index(None, "environment_id"),
    Index(None, "project_id", "hostname"),
    Index(None, "next_check_at"),
)
