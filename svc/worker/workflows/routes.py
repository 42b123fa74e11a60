"""Moving routes for a deploy or a switch, and waiting until every required region serves them as moved."""

from collections.abc import Sequence
from functools import partial

from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.regions import capabilities, krane_replicas
from pkg.regions import queries as regions
from pkg.regions.deployment_health import required_regions
from pkg.regions.silence import silences
from pkg.routes import queries as routes
from pkg.workflows.objects import ROUTING_ASSIGN, ROUTING_UNDO
from sealift.workflow.v1.workflow_pb2 import AssignReply, AssignRequest, UndoRequest
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.compensation import Compensations
from svc.worker.workflows.waiting import APPLIED, Observation, WakeUp, watch


async def assign_routes(
    journal: Journal, environment_id: str, deployment_id: str, undo: Compensations, *, operation_id: str = ""
) -> AssignReply:
    """Points the environment's hostnames at the deployment, unless a newer intent holds them.

    `operation_id`: of the promote or rollback; "" for a deploy.
    """
    undo.add(partial(_give_back, journal, environment_id, deployment_id, operation_id))
    request = AssignRequest(deployment_id=deployment_id, operation_id=operation_id)
    return await journal.call(ROUTING_ASSIGN, environment_id, request)


async def _give_back(journal: Journal, environment_id: str, deployment_id: str, operation_id: str) -> None:
    request = UndoRequest(deployment_id=deployment_id, operation_id=operation_id)
    await journal.call(ROUTING_UNDO, environment_id, request)


async def wait_applied(ctx: WorkflowContext, journal: Journal, deployment_id: str, moved: AssignReply) -> bool:
    """Waits until every required region has applied the moves and refused none. False: not in time."""
    observed = await watch(
        journal, "applied", observe_applied, journal.deps.config.deploy.route_timeout_s, WakeUp(ctx, APPLIED), None,
        deployment_id, moved.version, list(moved.hostnames),
    )  # fmt: skip
    return observed.settled


async def observe_applied(deps: WorkerDeps, deployment_id: str, version: int, hostnames: list[str]) -> Observation:
    """Reads once what the regions reported."""
    now = deps.clock()

    def read(connection: Connection) -> bool:
        return _obstacle(connection, deployment_id, version, hostnames, now) == ""

    return Observation(settled=await deps.db.read(read), now=now)


def explain_not_applied(
    connection: Connection, deployment_id: str, version: int, hostnames: Sequence[str], waited_s: int, now: int
) -> str:
    """For the user: what kept the routes from being applied."""
    obstacle = _obstacle(connection, deployment_id, version, hostnames, now) or "it was applied too late"
    return (
        f"The ingress did not apply the new routes within {waited_s} s: {obstacle}. What was live before stays live; "
        "deploy again when the ingress is healthy."
    )


def _obstacle(connection: Connection, deployment_id: str, version: int, hostnames: Sequence[str], now: int) -> str:
    if version == 0:
        return ""
    required = required_regions(connection, deployment_id)
    for nack in krane_replicas.nacks(connection, hostnames):
        if nack.region in required:
            return f"region {nack.region} refused {nack.hostname}: {nack.message}"
    versions = {version, *routes.versions(connection, hostnames)}
    here = [region for region in regions.every(connection) if region.name in required]
    if reason := capabilities.unsupported(here, capabilities.DEPLOY, versions):
        return reason
    behind = regions.behind(connection, required, version)
    if behind:
        silent = silences(regions.every(connection), now).get(behind[0])
        if silent is not None and not silent.is_probed:
            return silent.reason
        return f"region {behind[0]} has not reported it as applied (is krane running there, and its Envoy?)"
    return ""
