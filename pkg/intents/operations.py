"""Records promotes, rollbacks, stops, scales and restarts as operations, if the gates allow it, and sends them off."""

from collections import Counter

from sqlalchemy import Connection

from pkg.deletions.gates import check_not_deleting
from pkg.deployments import gates, queries
from pkg.deployments.model import Deployment
from pkg.deployments.settings import from_json
from pkg.desired.capabilities import APP_RESTART
from pkg.environments import queries as environments
from pkg.environments.model import Environment
from pkg.errors import FailedPrecondition, NotFound
from pkg.ids import new_id
from pkg.images.portability import KUBERNETES
from pkg.operations import queries as operations
from pkg.operations.model import OperationKind, OperationStatus
from pkg.regions import capabilities
from pkg.regions import queries as regions
from pkg.regions.deployment_health import required_regions
from pkg.routes import moves
from pkg.routes import queries as routes
from pkg.workflows import outbox
from pkg.workflows.switch import SWITCH


def record_switch(
    connection: Connection,
    *,
    kind: OperationKind,
    environment: Environment,
    deployment_id: str | None,
    traceparent: str,
    now: int,
) -> str:
    """Records a promote or a rollback and dispatches it; returns the operation's id.

    `deployment_id` None (rollback only) means the one that was live before. Raises NotFound or FailedPrecondition.
    """
    live = routes.live_deployment_id(connection, environment.id)
    if deployment_id is None and live is not None:
        deployment_id = moves.rollback_target(connection, environment.id, live)
        if deployment_id is None:
            raise FailedPrecondition(
                "environment.nothing_to_roll_back_to",
                f"Nothing was live in environment {environment.slug!r} before {live} that could take its routes back"
                + (
                    ": name one with --to, `sealift ls` lists them."
                    if queries.has_other_ready(connection, environment.id, live)
                    else ", and no other deployment is ready there: deploy the version that you want, or take the app "
                    "down with `sealift stop --live`."
                ),
            )
    if deployment_id is None:
        raise FailedPrecondition(
            "environment.nothing_live",
            f"Environment {environment.slug!r} has no live deployment to roll back from: `sealift deploy` makes "
            "one, `sealift promote` brings a ready one of `sealift ls` back.",
        )
    target = queries.get(connection, deployment_id, workspace_id=environment.workspace_id)
    if target is None or target.environment_id != environment.id:
        raise NotFound(
            "deployment.not_found",
            f"No deployment {deployment_id} in environment {environment.slug!r}: see `sealift ls`.",
        )
    capabilities.check(connection, capabilities.DEPLOY | from_json(target.settings_json).required_capabilities)
    gates.check_switch(
        target,
        live_deployment_id=live,
        is_rolled_back=environment.is_rolled_back,
        is_rollback=kind is OperationKind.ROLLBACK,
    )
    return _record_operation(connection, kind, environment, target.id, live, traceparent, now)


def record_stop(
    connection: Connection,
    *,
    environment: Environment,
    target: Deployment,
    takes_down: bool = False,
    traceparent: str,
    now: int,
) -> str:
    """Records the stop of a deployment, a live one only if it is taken down, and dispatches it; the operation's id."""
    live = routes.live_hostnames(connection, target.id)
    gates.check_stop(target, live_hostnames=live, takes_down=takes_down)
    kind = OperationKind.TAKE_DOWN if takes_down else OperationKind.STOP
    previous = routes.live_deployment_id(connection, environment.id)
    return _record_operation(connection, kind, environment, target.id, previous, traceparent, now)


def record_scale(
    connection: Connection, *, environment: Environment, replicas: int, process: str = "", traceparent: str, now: int
) -> str:
    """Records another number of instances for the environment's deployments and dispatches it; the operation's id.

    `replicas`: 1..`MAX_REPLICAS`, in each region; of a process, 0..`MAX_PROCESS_REPLICAS`. `process`: "" for web.
    Raises FailedPrecondition.
    """
    live_id = routes.live_deployment_id(connection, environment.id)
    live = None if live_id is None else queries.get(connection, live_id)
    is_stopped = bool(routes.stopped_environments(connection, [environment.id]))
    gates.check_scale(live, environment_slug=environment.slug, is_stopped=is_stopped, process=process)
    assert live is not None
    return _record_operation(
        connection,
        OperationKind.SCALE,
        environment,
        live.id,
        live.id,
        traceparent,
        now,
        replicas=replicas,
        process=process,
    )


def record_restart(
    connection: Connection, *, environment: Environment, target: Deployment, traceparent: str, now: int
) -> str:
    """Records that every instance of a deployment is made again and dispatches it; the operation's id.

    Raises FailedPrecondition.
    """
    gates.check_restart(target, alone_in=_alone_in(connection, target))
    capabilities.check(connection, {APP_RESTART}, required_regions(connection, target.id))
    live = routes.live_deployment_id(connection, environment.id)
    return _record_operation(connection, OperationKind.RESTART, environment, target.id, live, traceparent, now)


def _alone_in(connection: Connection, target: Deployment) -> str:
    """A region with an autoscaler that has chosen a single instance of the deployment; "" for none."""
    if from_json(target.settings_json).autoscaling is None:
        return ""
    found = regions.instances_of(connection, target.id)
    counts = Counter(one.region for one in found if one.state != "stopped" and not one.process)
    for name in required_regions(connection, target.id):
        region = regions.get(connection, name)
        if region is not None and region.runtime == KUBERNETES and counts[name] <= 1:
            return name
    return ""


def _record_operation(
    connection: Connection,
    kind: OperationKind,
    environment: Environment,
    deployment_id: str,
    previous: str | None,
    traceparent: str,
    now: int,
    *,
    replicas: int | None = None,
    process: str = "",
) -> str:
    target = queries.get(connection, deployment_id)
    check_not_deleting(connection, environment.deletion_id or (target.deletion_id if target else None))
    operation_id = new_id("op")
    operations.add(
        connection,
        {
            "id": operation_id,
            "workspace_id": environment.workspace_id,
            "environment_id": environment.id,
            "kind": kind,
            "status": OperationStatus.PENDING,
            "seq": environments.take_seq(connection, environment.id),
            "deployment_id": deployment_id,
            "previous_deployment_id": previous,
            "notices_json": [],
            "traceparent": traceparent,
            "created_at": now,
            "replicas": replicas,
            "process": process,
        },
    )
    outbox.add(connection, SWITCH, operation_id, now)
    return operation_id
