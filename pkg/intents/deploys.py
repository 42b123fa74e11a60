"""Records deploys and builds, and their cancellation.

The row, its place in the environment's order, the end of older pending siblings and the dispatch to Restate are written
together; what was recorded ends in exactly one terminal status, whatever crashes afterwards.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.model import Build, BuildStatus, SealedSecret
from pkg.deletions.gates import check_not_deleting
from pkg.deployments import gates, queries
from pkg.deployments.model import Deployment
from pkg.deployments.settings import from_json
from pkg.deployments.status import RunState, Source, Status, Step
from pkg.environments import queries as environments
from pkg.environments.model import Environment
from pkg.images import ImageRef
from pkg.jobs import placement
from pkg.projects import queries as projects
from pkg.regions import capabilities
from pkg.regions import queries as regions
from pkg.workflows import outbox
from pkg.workflows.building import BUILD
from pkg.workflows.deploy import DEPLOY


@dataclass(frozen=True)
class BuildIntent:
    """What to build; the api has checked paths and names, secrets are sealed."""

    build_context_path: str
    dockerfile_path: str
    target: str = ""
    platform: str = ""
    build_args: dict[str, str] = field(default_factory=dict)
    secrets: tuple[SealedSecret, ...] = ()
    no_cache: bool = False


@dataclass(frozen=True)
class DeployIntent:
    """What to deploy. Exactly one of `build`, `built` and `docker_image` is set.

    Attributes:
        build_id: of `build`; "" without one.
        build: a build that begins with the deploy and ends with it.
        built: an earlier build that has succeeded; what becomes of the deploy does not change it.
    """

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
    built: Build | None = None
    docker_image: str = ""

    @property
    def source(self) -> Source:
        """Where the image comes from."""
        if self.built is not None:
            return Source.BUILD
        return Source.IMAGE if self.build is None else Source.UPLOAD


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
    """Writes a pending build with its sealed secrets. A build without a deployment is dispatched, too.

    Raises FailedPrecondition while the project is deleted.
    """
    project = projects.get(connection, project_id)
    check_not_deleting(connection, None if project is None else project.deletion_id)
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
            "no_cache": intent.no_cache,
            "traceparent": traceparent,
            "created_at": now,
        },
    )
    for secret in intent.secrets:
        builds.add_secret(connection, secret)
    if deployment_id is None:
        outbox.add(connection, BUILD, build_id, now)


def record_deploy(connection: Connection, intent: DeployIntent, now: int) -> list[str]:
    """Writes the deployment and everything that must be written with it; returns the ids it superseded.

    Raises FailedPrecondition when a region can't run it, or its environment is being deleted.
    """
    place = environments.get(connection, intent.environment.id)
    check_not_deleting(connection, None if place is None else place.deletion_id)
    settings = from_json(intent.settings)
    capabilities.check(connection, capabilities.DEPLOY | settings.required_capabilities)
    if settings.release_command:
        placement.choose(connection, None, now)
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
            "source": intent.source,
            "git_json": intent.git,
            "docker_image": intent.docker_image,
            "build_id": (intent.built.id if intent.built else intent.build_id) or None,
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
    if intent.built is not None:
        take_image(connection, intent.deployment_id, intent.built, now)
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
    outbox.add(connection, DEPLOY, intent.deployment_id, now)
    return superseded


def take_image(connection: Connection, deployment_id: str, built: Build, now: int) -> None:
    """Gives a deployment the image of a build that has succeeded. Idempotent."""
    region = regions.only_name(connection) if ImageRef.parse(built.image_ref).is_on_engine else None
    queries.set_image(connection, deployment_id, built.image_ref, region, now)


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


def cancel_unsent_deploy(connection: Connection, deployment: Deployment, now: int) -> bool:
    """Cancels a deploy, and its build, that was never sent to Restate. False: it was sent, or has ended.

    If Restate accepts it at the same moment, its workflow finds ended rows and stops.
    """
    if not outbox.never_sent(connection, DEPLOY, [deployment.id]):
        return False
    if not queries.cancel_pending(connection, deployment.id, now):
        return False
    if deployment.build_id is not None:
        builds.finish(connection, deployment.build_id, BuildStatus.CANCELLED, now)
    return True


def cancel_unsent_build(connection: Connection, build: Build, now: int) -> bool:
    """Cancels a build without a deployment that was never sent to Restate. False: it was sent, or has ended."""
    if not outbox.never_sent(connection, BUILD, [build.id]):
        return False
    return builds.finish(connection, build.id, BuildStatus.CANCELLED, now, attempt=0)
