"""Workflow `Teardown`, keyed by deletion id: deletes a deployment, an environment or a project with all that it has."""

from collections.abc import Collection

from sqlalchemy import Connection

from pkg.deletions import queries as deletions
from pkg.deletions.model import TERMINAL, DeletionStatus, DeletionStep
from pkg.deletions.tables import deletions as table
from pkg.restate import Handler
from pkg.workflows.deploy import LOST_CODE
from pkg.workflows.model import Notification, Rows, Workflow
from sealift.workflow.v1.workflow_pb2 import Empty, NotifyRequest, TeardownRequest, TeardownResult

TEARDOWN_RUN = Handler("Teardown", "run", TeardownRequest, TeardownResult)
TEARDOWN_INSTANCES_CHANGED = Handler("Teardown", "instances_changed", NotifyRequest, Empty)
TEARDOWN_APPLIED = Handler("Teardown", "applied", NotifyRequest, Empty)


def _end_lost(connection: Connection, deletion_id: str, now: int) -> int | None:
    """What it had not deleted can be used again, and deleted again: each step finds what an earlier one has done."""
    found = deletions.get(connection, deletion_id)
    message = "The deletion ended inside Sealift without saying how: delete again, what is gone already is skipped."
    if found is None or not deletions.end(
        connection, deletion_id, DeletionStatus.FAILED, now, error_code=LOST_CODE, error_message=message
    ):
        return None
    return found.created_at


def _at(connection: Connection, step: DeletionStep) -> list[str]:
    return [found.id for found in deletions.active(connection) if found.step is step]


def _awaiting_instances(connection: Connection, deployment_ids: Collection[str], now: int) -> list[str]:
    return _at(connection, DeletionStep.INSTANCES) if deployment_ids else []


def _awaiting_applied(connection: Connection, deployment_ids: Collection[str], now: int) -> list[str]:
    return _at(connection, DeletionStep.ROUTES)


TEARDOWN = Workflow(
    run=TEARDOWN_RUN,
    request=lambda key: TeardownRequest(deletion_id=key),
    rows=Rows(table, terminal=TERMINAL, kind=("deletion of " + table.c.kind)),
    is_awaited_by_drain=True,
    end_lost=_end_lost,
    instances_changed=Notification(TEARDOWN_INSTANCES_CHANGED, _awaiting_instances),
    applied=Notification(TEARDOWN_APPLIED, _awaiting_applied),
)
