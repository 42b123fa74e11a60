"""Output and ends of apps that are kept; what was kept before goes, since it may hold values of sealed variables.

The values themselves can't be known here (only the vault's master key opens them), so all lines of output are removed
from where they may stand; the reasons before them stay.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MARK = "Last log lines:"
REMOVED = "The app's output was removed by an upgrade: it may have held values of variables."


def upgrade() -> None:
    """Adds the columns; removes output from errors, steps and instances."""
    op.add_column("deployments", sa.Column("last_output_json", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("instances", sa.Column("code", sa.String(64), nullable=False, server_default=""))
    op.add_column("instances", sa.Column("last_exit_json", sa.JSON(), nullable=True))
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        connection.execute(sa.text("PRAGMA secure_delete = ON"))  # else the text stays in free pages of the file
    for table, column in (("deployments", "error_message"), ("operations", "error_message")):
        found = connection.execute(
            sa.text(f"SELECT id, {column} AS said FROM {table} WHERE {column} LIKE :mark"),  # noqa: S608 - names above
            {"mark": f"%{MARK}%"},
        ).all()
        for row in found:
            connection.execute(
                sa.text(f"UPDATE {table} SET {column} = :said WHERE id = :id"),  # noqa: S608
                {"said": row.said.partition(MARK)[0] + REMOVED, "id": row.id},
            )
    steps = connection.execute(
        sa.text("SELECT deployment_id, name, error FROM deployment_steps WHERE error LIKE :mark"), {"mark": f"%{MARK}%"}
    ).all()
    for row in steps:
        connection.execute(
            sa.text("UPDATE deployment_steps SET error = :said WHERE deployment_id = :id AND name = :name"),
            {"said": row.error.partition(MARK)[0].rstrip(), "id": row.deployment_id, "name": row.name},
        )
    # krane reports the state of what runs again within a resync
    connection.execute(sa.text("UPDATE instances SET log_tail_json = '[]'"))
