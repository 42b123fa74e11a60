"""For tests: deployments moved to a status as the worker would move them, without a worker."""

from sqlalchemy import Connection

from pkg.clock import now_ms
from pkg.deployments import queries
from pkg.deployments.status import RunState, Status
from pkg.desired.capabilities import ROUTE
from pkg.feed.queries import record
from pkg.routes.tables import routes


def walk_to(connection: Connection, deployment_id: str, *statuses: Status) -> None:
    """Enters one status after the other."""
    for status in statuses:
        assert queries.enter(connection, deployment_id, status, now_ms())


def make_ready(connection: Connection, deployment_id: str, *, hostname: str = "") -> None:
    """Ready and running; with a hostname: holder of the environment's route."""
    walk_to(connection, deployment_id, Status.DEPLOYING)
    queries.set_image(connection, deployment_id, "engine:sha256:0", "local", now_ms())
    queries.set_run_state(connection, deployment_id, RunState.STARTING, now_ms())
    walk_to(connection, deployment_id, Status.NETWORK, Status.READY)
    queries.set_run_state(connection, deployment_id, RunState.RUNNING, now_ms())
    if hostname:
        row = queries.get(connection, deployment_id)
        assert row is not None
        version = record(connection, ROUTE, hostname, now_ms())
        connection.execute(
            routes.insert().values(
                hostname=hostname,
                workspace_id=row.workspace_id,
                project_id=row.project_id,
                environment_id=row.environment_id,
                deployment_id=row.id,
                kind="live",
                sticky="live",
                fence=row.seq,
                version=version,
                created_at=now_ms(),
                updated_at=now_ms(),
            )
        )
