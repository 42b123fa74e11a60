"""Several kranes serve a region: what each of them has applied and refused."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_krane_replicas"
down_revision = "20261128_autoscaling"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables. The krane of each region is its only replica, without an id until it is upgraded."""
    op.add_column("regions", sa.Column("leader_term", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "krane_replicas",
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("replica_id", sa.String(length=64), nullable=False),
        sa.Column("krane_instance_id", sa.String(length=64), nullable=False),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.Column("is_counted", sa.Boolean(), nullable=False),
        sa.Column("applied_version", sa.BigInteger(), nullable=False),
        sa.Column("last_contact_at", sa.BigInteger(), nullable=False),
        sa.Column("announced_since", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("still_served_json", sa.JSON(), nullable=False),
        sa.Column("unsupported_json", sa.JSON(), nullable=False),
        sa.Column("capabilities_json", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["region"], ["regions.name"], name=op.f("fk_krane_replicas_region")),
        sa.PrimaryKeyConstraint("region", "replica_id", name=op.f("pk_krane_replicas")),
    )
    op.create_table(
        "replica_nacks",
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("replica_id", sa.String(length=64), nullable=False),
        sa.Column("hostname", sa.String(length=253), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.String(length=1024), nullable=False),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["region"], ["regions.name"], name=op.f("fk_replica_nacks_region")),
        sa.PrimaryKeyConstraint("region", "replica_id", "hostname", name=op.f("pk_replica_nacks")),
    )
    bind = op.get_bind()
    bind.execute(
        sa.text(
            "INSERT INTO krane_replicas (region, replica_id, krane_instance_id, is_shared, is_counted, applied_version,"
            " last_contact_at, created_at, still_served_json, unsupported_json, capabilities_json)"
            " SELECT name, '', krane_instance_id, :no, :yes, applied_version, last_seen_at, created_at, '[]',"
            " unsupported_json, capabilities_json FROM regions"
        ),
        {"no": False, "yes": True},
    )
    bind.execute(
        sa.text(
            "INSERT INTO replica_nacks (region, replica_id, hostname, version, message, reported_at)"
            " SELECT region, '', hostname, version, message, reported_at FROM region_nacks"
        )
    )
    op.drop_table("region_nacks")
