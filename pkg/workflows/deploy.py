"""Workflow `Deploy`, keyed by deployment id: from a recorded deploy to exactly one terminal status."""

from collections.abc import Collection

from sqlalchemy import Connection, literal

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus
from pkg.deployments import queries as deployments
from pkg.deployments.status import TERMINAL, RunState, Status, Step
from pkg.deployments.tables import deployments as table
from pkg.jobs import queries as jobs
from pkg.jobs.model import release_job_id
from pkg.regions import deployment_health
from pkg.regions import queries as regions
from pkg.restate import Handler
from pkg.routes import moves
from pkg.workflows.model import Notification, Rows, Workflow
from sealift.workflow.v1.workflow_pb2 import DeployRequest, DeployResult, Empty, NotifyRequest, StopRequest

DEPLOY_RUN = Handler("Deploy", "run", DeployRequest, DeployResult)
DEPLOY_STOP = Handler("Deploy", "stop", StopRequest, Empty)
DEPLOY_INSTANCES_CHANGED = Handler("Deploy", "instances_changed", NotifyRequest, Empty)
DEPLOY_RELEASED = Handler("Deploy", "released", NotifyRequest, Empty)
DEPLOY_APPLIED = Handler("Deploy", "applied", NotifyRequest, Empty)

LOST_CODE = "internal.workflow_lost"
STEP_OF_STATUS = {
    Status.PENDING: Step.QUEUED,
    Status.BUILDING: Step.BUILDING,
    Status.DEPLOYING: Step.DEPLOYING,
    Status.NETWORK: Step.NETWORK,
}


def _end_lost(connection: Connection, deployment_id: str, now: int) -> int | None:
    """Routes go back to where they were, and only then (a later version of the desired state) the instances stop."""
    found = deployments.get(connection, deployment_id)
    if found is None or found.status.is_terminal:
        return None
    message = f"The deploy ended inside Sealift while it was {found.status}, without saying how: deploy again."
    step = STEP_OF_STATUS[found.status]
    if not deployments.fail(connection, deployment_id, code=LOST_CODE, message=message, step=step, now=now):
        return None
    jobs.request_stop(connection, release_job_id(deployment_id), now)
    moves.undo(connection, deployment_id=deployment_id, seq=found.seq, now=now)
    moves.drop_own(connection, deployment_id, now)
    regions.stop(connection, deployment_id, now)
    # the worker's cleanup sees that they have stopped
    deployments.set_run_state(connection, deployment_id, RunState.STOPPING, now)
    if found.build_id is not None:
        builds.finish(connection, found.build_id, BuildStatus.CANCELLED, now)
    return found.created_at


def _awaiting_instances(connection: Connection, deployment_ids: Collection[str], now: int) -> list[str]:
    keys = []
    for deployment_id in sorted(deployment_ids):
        found = deployments.get(connection, deployment_id)
        if found is None or found.status is not Status.DEPLOYING:
            continue
        if deployment_health.is_decided(connection, found, now):
            keys.append(deployment_id)
    return keys


def _awaiting_applied(connection: Connection, deployment_ids: Collection[str], now: int) -> list[str]:
    return [found.id for found in deployments.in_flight(connection) if found.status is Status.NETWORK]


DEPLOY = Workflow(
    run=DEPLOY_RUN,
    request=lambda key: DeployRequest(deployment_id=key),
    rows=Rows(table, terminal=TERMINAL, kind=literal("deploy")),
    is_awaited_by_drain=True,
    end_lost=_end_lost,
    count_lost=lambda metrics, took_s: metrics.deploy_ended(Status.FAILED, took_s),
    instances_changed=Notification(DEPLOY_INSTANCES_CHANGED, _awaiting_instances),
    applied=Notification(DEPLOY_APPLIED, _awaiting_applied),
)
