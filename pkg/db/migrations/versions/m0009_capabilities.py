"""What the krane of a region can do, and where it runs."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns. Each krane reports its capabilities when it registers next, and has none until then."""
    for name in ("capabilities_json", "unsupported_json"):
        op.add_column("regions", sa.Column(name, sa.JSON(), nullable=False, server_default="[]"))
    for name, length in (("architecture", 32), ("host_name", 253)):
        op.add_column("regions", sa.Column(name, sa.String(length=length), nullable=False, server_default=""))
    op.add_column("regions", sa.Column("cpus", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("regions", sa.Column("memory_mib", sa.BigInteger(), nullable=False, server_default="0"))
