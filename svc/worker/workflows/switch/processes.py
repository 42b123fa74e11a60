"""The processes of a warm target: started before its routes move, and waited for afterwards.

Web is switched at once, so that a rollback stays instant. The processes of what was live go on until the target's are
up, or have had their time; they end with the operation.
"""

from functools import partial

from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.regions import processes
from pkg.routes import queries as routes
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows import instances
from svc.worker.workflows.compensation import Compensations
from svc.worker.workflows.instances import Assessment, InstancesObservation
from svc.worker.workflows.switch.record import SwitchInput
from svc.worker.workflows.waiting import INSTANCES, WakeUp, watch

UP_WITHIN_S = 60


async def start_processes(journal: Journal, switch: SwitchInput, undo: Compensations) -> None:
    """Has the regions start the target's processes; they are not waited for."""
    undo.add(partial(_stop_again, journal, switch.deployment_id))
    await journal.step("start processes", start, switch.deployment_id)


async def wait_for_processes(ctx: WorkflowContext, journal: Journal, switch: SwitchInput) -> list[str]:
    """Waits for them. Answers why they are not up, for people; nothing when they are."""
    observed = await watch(
        journal, "processes", observe_processes, UP_WITHIN_S, WakeUp(ctx, INSTANCES), None, switch.deployment_id
    )
    if observed.outcome == "healthy":
        return []
    return [await journal.step("explain processes", explain, switch.deployment_id)]


async def _stop_again(journal: Journal, deployment_id: str) -> None:
    await journal.step("stop processes", stop_unless_live, deployment_id)


async def start(deps: WorkerDeps, deployment_id: str) -> None:
    """Records that the regions are to run them. Idempotent."""
    await deps.db.write(processes.start, deployment_id, deps.clock())


async def stop_unless_live(deps: WorkerDeps, deployment_id: str) -> None:
    """Records that they are not to run, unless the deployment is live. Idempotent."""

    def write(connection: Connection) -> None:
        if not routes.live_hostnames(connection, deployment_id):
            processes.stop(connection, deployment_id, deps.clock())

    await deps.db.write(write)


async def observe_processes(deps: WorkerDeps, deployment_id: str) -> InstancesObservation:
    """Assesses the deployment once."""
    now = deps.clock()

    def read(connection: Connection) -> Assessment:
        return instances.assess(connection, _target(connection, deployment_id), now)

    assessment = await deps.db.read(read)
    return InstancesObservation(settled=assessment.is_final, now=now, outcome=assessment.outcome)


async def explain(deps: WorkerDeps, deployment_id: str) -> str:
    """Why the deployment is not healthy, for people."""
    now = deps.clock()

    def read(connection: Connection) -> str:
        failure = instances.explain_failure(connection, _target(connection, deployment_id), "", None, now)
        return failure.message.partition("\n")[0].removesuffix(" Last log lines:")

    why = await deps.db.read(read)
    return f"{deployment_id} gets the requests, but not all of its processes are up: {why} See `sealift ps`"


def _target(connection: Connection, deployment_id: str) -> Deployment:
    found = deployments.get(connection, deployment_id)
    assert found is not None
    return found
