"""The tables of routes and of who held them before."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Table

from pkg.db.metadata import AUTO_ID, metadata

routes = Table(
    "routes",
    metadata,
    Column("hostname", String(253), primary_key=True),
    Column("workspace_id", String(64), ForeignKey("workspaces.id"), nullable=False),
    Column("project_id", String(64), ForeignKey("projects.id"), nullable=False),
    Column("environment_id", String(64), ForeignKey("environments.id"), nullable=False),
    Column("deployment_id", String(64), ForeignKey("deployments.id")),  # NULL: the route is an answer
    Column("kind", String(16), nullable=False),
    Column("sticky", String(16), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("answer", String(16), nullable=False, server_default=""),
    Index(None, "deployment_id"),
    Index(None, "environment_id"),
)

# Which deployments held a route before: where an undo or a rollback may go back to.
route_history = Table(
    "route_history",
    metadata,
    Column("id", AUTO_ID, primary_key=True, autoincrement=True),
    Column("hostname", String(253), nullable=False),
    Column("deployment_id", String(64), nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("moved_at", BigInteger, nullable=False),
    Index(None, "hostname", "id"),
)
