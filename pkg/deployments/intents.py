"""Recording what a user wants: one transaction each, all or nothing.

The row, its place in the environment's order, the end of older pending siblings and the dispatch to Restate are written
together; what was recorded ends in exactly one terminal status, whatever crashes afterwards.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.queries import Build, SealedSecret
from pkg.builds.status import BuildStatus
from pkg.deployments import gates, queries
from pkg.deployments.queries import Deployment
from pkg.deployments.status import RunState, Source, Status, Step
from pkg.environments import queries as environments
from pkg.environments.queries import Environment
from pkg.errors import FailedPrecondition, NotFound
from pkg.ids import new_id
from pkg.operations import queries as operations
from pkg.operations.queries import OperationKind, OperationStatus
from pkg.routes import moves
from pkg.routes import queries as routes
from pkg.workflows import outbox as dispatch
from pkg.workflows.outbox import WorkflowName


@dataclass(frozen=True)
class BuildIntent:
    """What to build; paths and names were checked at the door, secrets are sealed."""

    build_context_path: str
    dockerfile_path: str
    target: str = ""
    platform: str = ""
    build_args: dict[str, str] = field(default_factory=dict)
    secrets: tuple[SealedSecret, ...] = ()


@dataclass(frozen=True)
class DeployIntent:
    """What to deploy. Exactly one of `build` and `docker_image` is set."""

    deployment_id: str
    environment: Environment
    branch: str
    keyspace_id: str | None
    git: dict[str, Any]
    settings: dict[str, Any]
    variables_sealed: bytes | None
    plain_variables: tuple[str, ...]
    traceparent: str
    build_id: str = ""
    build: BuildIntent | None = None
    docker_image: str = ""


def record_build(
    connection: Connection,
    *,
    build_id: str,
    workspace_id: str,
    project_id: str,
    deployment_id: str | None,
    intent: BuildIntent,
    traceparent: str,
    now: int,
) -> None:
    """Writes a pending build with its sealed secrets. A build of its own (no deployment) is dispatched, too."""
    builds.add(
        connection,
        {
            "id": build_id,
            "workspace_id": workspace_id,
            "project_id": project_id,
            "deployment_id": deployment_id,
            "status": BuildStatus.PENDING,
            "attempt": 0,
            "build_context_path": intent.build_context_path,
            "dockerfile_path": intent.dockerfile_path,
            "target": intent.target,
            "platform": intent.platform,
            "build_args_json": intent.build_args,
            "image_ref": "",
            "traceparent": traceparent,
            "created_at": now,
        },
    )
    for secret in intent.secrets:
        builds.add_secret(connection, secret)
    if deployment_id is None:
        dispatch.add(connection, WorkflowName.BUILD, build_id, now)


def record_deploy(connection: Connection, intent: DeployIntent, now: int) -> list[str]:
    """Writes the deployment and everything that must be written with it; returns the ids it superseded."""
    environment = intent.environment
    seq = environments.take_seq(connection, environment.id)
    queries.add(
        connection,
        {
            "id": intent.deployment_id,
            "workspace_id": environment.workspace_id,
            "project_id": environment.project_id,
            "environment_id": environment.id,
            "seq": seq,
            "branch": intent.branch,
            "keyspace_id": intent.keyspace_id,
            "status": Status.PENDING,
            "run_state": RunState.NONE,
            "source": Source.IMAGE if intent.build is None else Source.UPLOAD,
            "git_json": intent.git,
            "docker_image": intent.docker_image,
            "build_id": intent.build_id or None,
            "image_ref": "",
            "settings_json": intent.settings,
            "variables_sealed": intent.variables_sealed,
            "plain_variables_json": list(intent.plain_variables),
            "notices_json": [],
            "traceparent": intent.traceparent,
            "created_at": now,
            "updated_at": now,
            "run_state_at": now,
        },
    )
    queries.start_step(connection, intent.deployment_id, Step.QUEUED, now)
    if intent.build is not None:
        record_build(
            connection,
            build_id=intent.build_id,
            workspace_id=environment.workspace_id,
            project_id=environment.project_id,
            deployment_id=intent.deployment_id,
            intent=intent.build,
            traceparent=intent.traceparent,
            now=now,
        )
    superseded = queries.supersede_pending(connection, environment.id, intent.branch, seq, now)
    for deployment_id in superseded:
        older = queries.get(connection, deployment_id)
        if older is not None and older.build_id is not None:
            builds.request_cancel(connection, older.build_id, now)
    dispatch.add(connection, WorkflowName.DEPLOY, intent.deployment_id, now)
    return superseded


def record_cancel(connection: Connection, deployment: Deployment, now: int) -> None:
    """Asks a deploy, and the build it waits for, to stop. Raises FailedPrecondition when it is too late. Idempotent."""
    gates.check_cancel(deployment)
    if deployment.status.is_terminal:
        return
    if not queries.request_cancel(connection, deployment.id, "cancelled", now):
        moved_on = queries.get(connection, deployment.id)
        assert moved_on is not None
        gates.check_cancel(moved_on)
        return
    if deployment.build_id is not None:
        builds.request_cancel(connection, deployment.build_id, now)


def end_unbegun(connection: Connection, deployment: Deployment, now: int) -> bool:
    """Ends a deploy as cancelled, and its build with it, that Restate never had. False: it has begun, or ended.

    Should Restate have taken it in this very moment, its workflow finds rows that have ended, and stops.
    """
    if not dispatch.never_sent(connection, WorkflowName.DEPLOY, [deployment.id]):
        return False
    if not queries.cancel_pending(connection, deployment.id, now):
        return False
    if deployment.build_id is not None:
        builds.finish(connection, deployment.build_id, BuildStatus.CANCELLED, now)
    return True


def end_unbegun_build(connection: Connection, build: Build, now: int) -> bool:
    """The same for a build without a deployment."""
    if not dispatch.never_sent(connection, WorkflowName.BUILD, [build.id]):
        return False
    return builds.finish(connection, build.id, BuildStatus.CANCELLED, now, attempt=0)


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


def _record_operation(
    connection: Connection,
    kind: OperationKind,
    environment: Environment,
    deployment_id: str,
    previous: str | None,
    traceparent: str,
    now: int,
) -> str:
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
        },
    )
    dispatch.add(connection, WorkflowName.SWITCH, operation_id, now)
    return operation_id
