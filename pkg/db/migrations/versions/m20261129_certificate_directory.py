"""At which ACME server a certificate is ordered, so that a change of it orders anew."""

import sqlalchemy as sa
from alembic import op

revision = "20261129_certificate_directory"
down_revision = "20261129_deletion"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column. The api fills it in at its first pass, as the configuration is not known here."""
    op.add_column("managed_certificates", sa.Column("directory", sa.String(length=512), nullable=True))
