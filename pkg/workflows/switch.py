"""Workflow `Switch`, keyed by operation id: a promote, rollback, stop, scale or restart."""

from collections.abc import Collection

from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.operations import queries as operations
from pkg.operations.model import Operation, OperationStatus
from pkg.operations.tables import operations as table
from pkg.regions import deployment_health, processes
from pkg.regions import queries as regions
from pkg.restate import Handler
from pkg.routes import moves
from pkg.routes import queries as routes
from pkg.scaling import effects
from pkg.scaling.assessment import assess
from pkg.scaling.progress import Outcome
from pkg.workflows.deploy import LOST_CODE
from pkg.workflows.model import Notification, Rows, Workflow
from sealift.workflow.v1.workflow_pb2 import Empty, NotifyRequest, SwitchRequest, SwitchResult

SWITCH_RUN = Handler("Switch", "run", SwitchRequest, SwitchResult)
SWITCH_INSTANCES_CHANGED = Handler("Switch", "instances_changed", NotifyRequest, Empty)
SWITCH_APPLIED = Handler("Switch", "applied", NotifyRequest, Empty)


def _end_lost(connection: Connection, operation_id: str, now: int) -> int | None:
    """Gives back the routes that it took, or the number of instances that it set."""
    found = operations.get(connection, operation_id)
    if found is None:
        return None
    message = f"The {found.kind} ended inside Sealift without saying how: try it again."
    if not operations.end(
        connection, operation_id, OperationStatus.FAILED, now, error_code=LOST_CODE, error_message=message
    ):
        return None
    if found.kind.moves_routes:
        moves.undo(connection, deployment_id=found.deployment_id, seq=found.seq, now=now)
        live_id = routes.live_deployment_id(connection, found.environment_id)
        if live_id is not None:
            processes.start(connection, live_id, now)
        if live_id != found.deployment_id:
            processes.stop(connection, found.deployment_id, now)
    effects.undo(connection, found, now)
    return found.created_at


def _awaiting_instances(connection: Connection, deployment_ids: Collection[str], now: int) -> list[str]:
    concerned = [found for found in operations.in_flight(connection) if found.deployment_id in deployment_ids]
    return [found.id for found in concerned if _can_go_on(connection, found, now)]


def _can_go_on(connection: Connection, operation: Operation, now: int) -> bool:
    """A stop once no instance is left; a switch once its target is healthy or never will be; others as assessed."""
    if operation.kind.is_stop:
        return not regions.any_alive(connection, operation.deployment_id)
    if not operation.kind.moves_routes:
        return assess(connection, operation, now).outcome is not Outcome.WAITING
    target = deployments.get(connection, operation.deployment_id)
    return target is not None and deployment_health.is_decided(connection, target, now)


def _awaiting_applied(connection: Connection, deployment_ids: Collection[str], now: int) -> list[str]:
    return [found.id for found in operations.in_flight(connection) if found.kind.moves_routes]


SWITCH = Workflow(
    run=SWITCH_RUN,
    request=lambda key: SwitchRequest(operation_id=key),
    rows=Rows(table, terminal=frozenset(status for status in OperationStatus if status.is_terminal), kind=table.c.kind),
    is_awaited_by_drain=True,
    end_lost=_end_lost,
    instances_changed=Notification(SWITCH_INSTANCES_CHANGED, _awaiting_instances),
    applied=Notification(SWITCH_APPLIED, _awaiting_applied),
)
