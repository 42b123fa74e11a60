"""Starting and stopping the instances of a deployment, and assessing whether they are up; for deploys and switches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.settings import from_json
from pkg.deployments.status import RunState
from pkg.images import ImageRef, portability
from pkg.operations import queries as operations
from pkg.output.excerpt import excerpt
from pkg.regions import processes
from pkg.regions import queries as regions
from pkg.regions.deployment_health import NO_ADDRESS, NO_CAPACITY, NO_DISK, reported_health, shortage_code
from pkg.regions.health import DeploymentHealth, Health, InstanceState
from pkg.regions.queries import InstanceRow, Region
from pkg.routes import moves
from pkg.routes import queries as routes
from pkg.workflows.objects import ROUTING_CONFIRM_STOPPED
from sealift.workflow.v1.workflow_pb2 import SettleRequest
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.waiting import Observation

GRACE_S = 30  # on top of the app's own start timeout: pull, create, report
MAX_LOG_LINES = 20
_MAX_MESSAGE_CHARS = 2000  # of the row's limit
_MAKE_ROOM = (
    ". No standby is left that could stop for it: stop deployments that are not needed (`sealift ls`, `sealift stop "
    "DEPLOYMENT`) or lower `[run] replicas`, and try again"
)
_MAKE_CAPACITY = (
    ". No standby is left that could stop for it: stop deployments that are not needed, lower cpu_millicores, "
    "memory_mib or replicas of [run], or the operator adds nodes or raises the quota; then try again"
)
_FREE_DISK = ". No standby is left that could stop for it: free disk on the machine that runs the engine, and try again"


def start_timeout_s(deployment: Deployment) -> int:
    """How long the instances may take to become healthy."""
    return from_json(deployment.settings_json).health_check.start_timeout_s + GRACE_S


def obstacle(image_ref: str, among: Sequence[Region]) -> str:
    """Why these regions can't all run the image, see `portability.obstacle`; "" when they can."""
    if not ImageRef.parse(image_ref).is_on_engine:
        return ""
    return portability.obstacle({region.name: region.runtime for region in among})


def put(connection: Connection, deployment: Deployment, image_ref: str, names: list[str], now: int) -> None:
    """Records that these regions are to run the deployment, with its processes. Idempotent."""
    processes.start(connection, deployment.id, now)
    for name in names:
        regions.place(connection, deployment_id=deployment.id, region=name, image_ref=image_ref, stopped=False, now=now)
    deployments.set_run_state(connection, deployment.id, RunState.STARTING, now)


class InstancesObservation(Observation, frozen=True, kw_only=True):
    """How the instances are.

    `unseen`: a region is silent, or its engine or cluster away; `stopped`: a cancel was requested; `over`: the
    deployment has ended.
    """

    outcome: Literal["healthy", "waiting", "unseen", "failed", "stopped", "over"]

    @property
    def is_unseen(self) -> bool:
        """See `Observation`."""
        return self.outcome == "unseen"


@dataclass(frozen=True)
class Assessment:
    """Whether to wait for the instances, see `InstancesObservation`; `code`: of the failure."""

    outcome: Literal["healthy", "waiting", "unseen", "failed"]
    code: str = ""

    @property
    def is_final(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.outcome not in ("waiting", "unseen")


def assess(connection: Connection, deployment: Deployment, now: int) -> Assessment:
    """Only what krane probed as healthy counts; no wait for what its region lacks and no standby can free."""
    health = reported_health(connection, deployment, now)
    if health.health is Health.FAILED:
        return Assessment("failed", health.code or "instance.failed")
    if health.health is Health.HEALTHY:
        return Assessment("healthy")
    code = shortage_code(connection, deployment, now)
    if code:
        return Assessment("failed", code)
    return Assessment("unseen" if health.health is Health.UNKNOWN else "waiting")


@dataclass(frozen=True)
class StartFailure:
    """For the user: why the instances did not come up, and the last lines that the app printed."""

    code: str
    message: str
    output: tuple[str, ...]


def explain_failure(
    connection: Connection, deployment: Deployment, code: str, waited_s: int | None, now: int
) -> StartFailure:
    """Read before the instances are stopped. `waited_s` None: they failed by themselves."""
    health = reported_health(connection, deployment, now)
    shown_code = health.code if health.health is Health.UNKNOWN else code
    return StartFailure(shown_code, _message(connection, deployment, health, code, waited_s), health.log_tail)


def _message(
    connection: Connection, deployment: Deployment, health: DeploymentHealth, code: str, waited_s: int | None
) -> str:
    head = health.reason.rstrip(". ") or "the instance failed"
    if code == NO_ADDRESS:
        head += _MAKE_ROOM
    elif code == NO_DISK:
        head += _FREE_DISK
    elif code == NO_CAPACITY:
        head += _MAKE_CAPACITY
    failed = _failed(regions.instances_of(connection, deployment.id))
    if waited_s is not None:
        head = f"Not healthy within {waited_s} s: {head}"
    elif failed is not None and failed.exit_code is not None and str(failed.exit_code) not in head:
        head = f"{head} (exit code {failed.exit_code})"
    lines = excerpt(health.log_tail, MAX_LOG_LINES, max(200, _MAX_MESSAGE_CHARS - len(head)))
    return "\n".join([f"{head}. Last log lines:", *lines]) if lines else f"{head}."


def _failed(instances: list[InstanceRow]) -> InstanceRow | None:
    return next((i for i in instances if i.state == InstanceState.FAILED), None)


class Halted(msgspec.Struct, frozen=True):
    """`stopping`: the instances stop now."""

    stopping: bool


async def halt(deps: WorkerDeps, deployment_id: str) -> Halted:
    """Records that no region is to run the deployment. Idempotent."""
    return await deps.db.write(_halt, deployment_id, deps.clock())


def _halt(connection: Connection, deployment_id: str, now: int) -> Halted:
    regions.stop(connection, deployment_id, now)
    deployments.set_run_state(connection, deployment_id, RunState.STOPPING, now)
    found = deployments.get(connection, deployment_id)
    return Halted(found is not None and found.run_state is RunState.STOPPING)


async def halt_started_by(deps: WorkerDeps, deployment_id: str, operation_id: str) -> Halted:
    """As `halt`, unless the deployment that the operation started is needed: another switch to it may succeed.

    It keeps running when a shared hostname points at it (the operation's own were given back before), and when a newer
    promote or rollback to it is unfinished, which stops it if it fails in its turn. Idempotent.
    """

    def write(connection: Connection) -> Halted:
        now = deps.clock()
        mine = operations.get(connection, operation_id)
        assert mine is not None
        awaited = any(
            other.deployment_id == deployment_id and other.kind.moves_routes and other.seq > mine.seq
            for other in operations.in_flight(connection)
        )
        if awaited or routes.sticky_hostnames(connection, deployment_id):
            return Halted(stopping=False)
        # its own hostnames may be those that an earlier switch brought back: a route never points at what is stopped
        moves.drop_own(connection, deployment_id, now)
        return _halt(connection, deployment_id, now)

    return await deps.db.write(write)


async def stop(journal: Journal, environment_id: str, deployment_id: str, *, operation_id: str = "") -> None:
    """Compensation: stops what `put` started; it is marked stopped once no instance is left.

    `operation_id`: of the switch that started it; then it keeps running if it is needed (`halt_started_by`).
    """
    if operation_id:
        halted = await journal.step("stop instances", halt_started_by, deployment_id, operation_id)
    else:
        halted = await journal.step("stop instances", halt, deployment_id)
    if halted.stopping:
        confirm_stopped_later(journal, environment_id, deployment_id)


def confirm_stopped_later(journal: Journal, environment_id: str, deployment_id: str) -> None:
    """Schedules the check that no instance is left."""
    journal.send(
        ROUTING_CONFIRM_STOPPED,
        environment_id,
        SettleRequest(deployment_id=deployment_id),
        delay_ms=int(journal.deps.config.deploy.wait_poll_s * 1000),
    )
