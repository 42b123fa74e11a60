"""Statements about deployments. Every write names the statuses it may start from; False: someone else moved on."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from pkg.db import rows, upsert
from pkg.deployments.model import Deployment, StepRow
from pkg.deployments.status import (
    CANCELLABLE,
    ENTERED_FROM,
    IN_FLIGHT,
    RUN_STATE_ENTERED_FROM,
    STEP_ORDER,
    WARM,
    RunState,
    Status,
    Step,
)
from pkg.deployments.tables import deployment_steps, deployments

MAX_STEP_ERROR_CHARS = 512
MAX_MESSAGE_CHARS = 2048


def add(connection: Connection, values: dict[str, Any]) -> None:
    """Inserts a row; `values` holds the columns of `deployments`."""
    connection.execute(insert(deployments).values(**values))


def get(connection: Connection, deployment_id: str, *, workspace_id: str | None = None) -> Deployment | None:
    """The deployment, or None when it does not exist (in that workspace)."""
    query = select(deployments).where(deployments.c.id == deployment_id)
    if workspace_id is not None:
        query = query.where(deployments.c.workspace_id == workspace_id)
    return rows.one(Deployment, connection.execute(query))


def page(
    connection: Connection,
    project_id: str,
    *,
    environment_id: str | None = None,
    branch: str | None = None,
    before_id: str = "",
    limit: int = 50,
) -> list[Deployment]:
    """Newest first, without deleted ones; ids are ordered by time."""
    query = select(deployments).where(deployments.c.project_id == project_id, deployments.c.deleted_at.is_(None))
    if environment_id is not None:
        query = query.where(deployments.c.environment_id == environment_id)
    if branch is not None:
        query = query.where(deployments.c.branch == branch)
    if before_id:
        query = query.where(deployments.c.id < before_id)
    return rows.every(Deployment, connection.execute(query.order_by(deployments.c.id.desc()).limit(limit)))


def in_flight(connection: Connection) -> list[Deployment]:
    """Every deployment without a terminal status."""
    query = select(deployments).where(deployments.c.status.in_(IN_FLIGHT)).order_by(deployments.c.id)
    return rows.every(Deployment, connection.execute(query))


def in_run_state(connection: Connection, states: Iterable[RunState], *, before: int) -> list[Deployment]:
    """Ready deployments that have been in one of `states` since before the time `before`."""
    query = select(deployments).where(
        deployments.c.status == Status.READY,
        deployments.c.run_state.in_(list(states)),
        deployments.c.run_state_at < before,
    )
    return rows.every(Deployment, connection.execute(query))


def warm_in_environment(connection: Connection, environment_id: str) -> list[Deployment]:
    """The environment's ready deployments whose instances run: they can take traffic at once."""
    query = select(deployments).where(
        deployments.c.environment_id == environment_id,
        deployments.c.status == Status.READY,
        deployments.c.run_state.in_(WARM),
    )
    return rows.every(Deployment, connection.execute(query))


def stopping(connection: Connection, *, before: int) -> list[Deployment]:
    """Deployments, however their deploy ended, that have been stopping since before the time `before`."""
    query = select(deployments).where(deployments.c.run_state == RunState.STOPPING, deployments.c.run_state_at < before)
    return rows.every(Deployment, connection.execute(query))


def enter(connection: Connection, deployment_id: str, status: Status, now: int, **values: Any) -> bool:
    """Moves to `status` if the transition table allows it from where the row is. False: it does not.

    `network` is entered only while no cancel was requested: the point of no return.
    """
    statement = (
        update(deployments)
        .where(deployments.c.id == deployment_id, deployments.c.status.in_(ENTERED_FROM[status]))
        .values(status=status, updated_at=now, **values)
    )
    if status is Status.NETWORK:
        statement = statement.where(deployments.c.cancel_requested_at.is_(None))
    if status.is_terminal:
        statement = statement.values(ended_at=now)
    return connection.execute(statement).rowcount == 1


def fail(connection: Connection, deployment_id: str, *, code: str, message: str, step: str, now: int) -> bool:
    """Ends the deployment as failed, with the reason; ends its open step with it. False: it had ended already."""
    ended = enter(
        connection,
        deployment_id,
        Status.FAILED,
        now,
        error_code=code,
        error_message=message[:MAX_MESSAGE_CHARS],
        error_step=step,
    )
    if ended:
        # the lines of output that follow stand in the error and are not repeated here
        end_open_steps(
            connection, deployment_id, now, error=message.partition("\n")[0].removesuffix(" Last log lines:")
        )
    return ended


def note_error(connection: Connection, deployment_id: str, *, code: str, message: str, step: str, now: int) -> None:
    """Records why a deploy is about to fail, before its undo removes what shows the reason.

    The status stays. Idempotent; a deployment that has ended keeps what it has.
    """
    connection.execute(
        update(deployments)
        .where(deployments.c.id == deployment_id, deployments.c.status.in_(IN_FLIGHT))
        .values(error_code=code, error_message=message[:MAX_MESSAGE_CHARS], error_step=step, updated_at=now)
    )


def keep_output(connection: Connection, deployment_id: str, lines: Sequence[str]) -> None:
    """Records what the app printed before its start failed, since its instance is removed. No lines: no change."""
    if lines:
        connection.execute(
            update(deployments).where(deployments.c.id == deployment_id).values(last_output_json=list(lines))
        )


def set_run_state(connection: Connection, deployment_id: str, state: RunState, now: int) -> bool:
    """Moves the run state if its table allows it. False: it does not (or it is there already)."""
    statement = (
        update(deployments)
        .where(deployments.c.id == deployment_id, deployments.c.run_state.in_(RUN_STATE_ENTERED_FROM[state]))
        .values(run_state=state, run_state_at=now, updated_at=now)
    )
    return connection.execute(statement).rowcount == 1


def set_image(connection: Connection, deployment_id: str, image_ref: str, image_region: str | None, now: int) -> None:
    """Records what runs. Idempotent."""
    connection.execute(
        update(deployments)
        .where(deployments.c.id == deployment_id)
        .values(image_ref=image_ref, image_region=image_region, updated_at=now)
    )


def add_notice(connection: Connection, deployment_id: str, notice: str, now: int) -> None:
    """Appends a notice for the user. Idempotent: the same text is kept once."""
    found = get(connection, deployment_id)
    if found is not None and notice not in found.notices_json:
        connection.execute(
            update(deployments)
            .where(deployments.c.id == deployment_id)
            .values(notices_json=[*found.notices_json, notice], updated_at=now)
        )


def request_cancel(connection: Connection, deployment_id: str, reason: str, now: int) -> bool:
    """Asks the deploy to stop. False: too late (switching or ended). The first request's reason stays."""
    statement = (
        update(deployments)
        .where(
            deployments.c.id == deployment_id,
            deployments.c.status.in_(CANCELLABLE),
            deployments.c.cancel_requested_at.is_(None),
        )
        .values(cancel_requested_at=now, cancel_reason=reason, updated_at=now)
    )
    if connection.execute(statement).rowcount == 1:
        return True
    found = get(connection, deployment_id)
    return found is not None and found.status in CANCELLABLE


def cancel_pending(connection: Connection, deployment_id: str, now: int) -> bool:
    """Ends a deployment that holds no build slot yet as cancelled. False: it has started or ended."""
    statement = (
        update(deployments)
        .where(deployments.c.id == deployment_id, deployments.c.status == Status.PENDING)
        .values(
            status=Status.CANCELLED,
            cancel_requested_at=now,
            cancel_reason="cancelled",
            updated_at=now,
            ended_at=now,
        )
    )
    ended = connection.execute(statement).rowcount == 1
    if ended:
        end_open_steps(connection, deployment_id, now, error="cancelled")
    return ended


def supersede_pending(connection: Connection, environment_id: str, branch: str, seq: int, now: int) -> list[str]:
    """Ends older deployments of the branch that have not started; returns their ids.

    Those that hold no build slot yet are ended here, in the transaction of the newer deploy; their workflows find a
    terminal row and stop.
    """
    older = select(deployments.c.id).where(
        deployments.c.environment_id == environment_id,
        deployments.c.branch == branch,
        deployments.c.status == Status.PENDING,
        deployments.c.seq < seq,
    )
    ids = [str(row.id) for row in connection.execute(older)]
    for deployment_id in ids:
        enter(connection, deployment_id, Status.SUPERSEDED, now, cancel_requested_at=now, cancel_reason="superseded")
        end_open_steps(connection, deployment_id, now, error="superseded")
    return ids


def has_other_ready(connection: Connection, environment_id: str, not_this: str) -> bool:
    """Whether the environment has another deployment that could be switched to."""
    query = select(deployments.c.id).where(
        deployments.c.environment_id == environment_id,
        deployments.c.deletion_id.is_(None),
        deployments.c.id != not_this,
        deployments.c.status == Status.READY,
        deployments.c.image_ref != "",
    )
    return connection.execute(query.limit(1)).first() is not None


def successors(connection: Connection, deployment_ids: Iterable[str]) -> dict[str, str]:
    """Which deployment superseded each of these superseded ones.

    It is the next of the branch: the first that was recorded while they were pending ended them, and what is not
    pending any more is not superseded.
    """
    newer = deployments.alias("newer")
    next_of_the_branch = (
        select(newer.c.id)
        .where(
            newer.c.environment_id == deployments.c.environment_id,
            newer.c.branch == deployments.c.branch,
            newer.c.seq > deployments.c.seq,
        )
        .order_by(newer.c.seq)
        .limit(1)
        .scalar_subquery()
    )
    query = select(deployments.c.id, next_of_the_branch.label("successor")).where(
        deployments.c.id.in_(list(deployment_ids)), deployments.c.status == Status.SUPERSEDED
    )
    return {str(row.id): str(row.successor) for row in connection.execute(query) if row.successor is not None}


def start_step(connection: Connection, deployment_id: str, step: Step, now: int) -> None:
    """Begins a step. The first start counts: a repeated step keeps its time."""
    connection.execute(
        upsert.insert(connection, deployment_steps)
        .values(deployment_id=deployment_id, name=step, started_at=now)
        .on_conflict_do_nothing()
    )


def end_step(connection: Connection, deployment_id: str, step: Step, now: int, error: str | None = None) -> None:
    """Ends a step; the first end counts."""
    connection.execute(
        update(deployment_steps)
        .where(
            deployment_steps.c.deployment_id == deployment_id,
            deployment_steps.c.name == step,
            deployment_steps.c.ended_at.is_(None),
        )
        .values(ended_at=now, error=None if error is None else error[:MAX_STEP_ERROR_CHARS])
    )


def end_open_steps(connection: Connection, deployment_id: str, now: int, error: str | None = None) -> None:
    """Ends every step that has not ended."""
    connection.execute(
        update(deployment_steps)
        .where(deployment_steps.c.deployment_id == deployment_id, deployment_steps.c.ended_at.is_(None))
        .values(ended_at=now, error=None if error is None else error[:MAX_STEP_ERROR_CHARS])
    )


def steps(connection: Connection, deployment_id: str) -> list[StepRow]:
    """The steps started so far, in order."""
    return steps_by_deployment(connection, [deployment_id]).get(deployment_id, [])


def steps_by_deployment(connection: Connection, deployment_ids: Collection[str]) -> dict[str, list[StepRow]]:
    """The steps that each deployment has started so far, in order; no entry for one without any."""
    query = select(deployment_steps).where(deployment_steps.c.deployment_id.in_(deployment_ids))
    found: dict[str, list[StepRow]] = {}
    for step in sorted(rows.every(StepRow, connection.execute(query)), key=lambda step: STEP_ORDER[Step(step.name)]):
        found.setdefault(step.deployment_id, []).append(step)
    return found


@dataclass(frozen=True)
class Place:
    """What a deployment belongs to, and since when it is there."""

    project_id: str
    environment_id: str
    created_at: int


def places(connection: Connection, deployment_ids: Collection[str]) -> dict[str, Place]:
    """The places of those of the ids that are a deployment's, and not of a deleted one."""
    columns = deployments.c
    query = select(columns.id, columns.project_id, columns.environment_id, columns.created_at)
    found = connection.execute(query.where(columns.id.in_(deployment_ids), columns.deleted_at.is_(None)))
    return {str(row.id): Place(row.project_id, row.environment_id, row.created_at) for row in found}


def existing(connection: Connection, deployment_ids: Collection[str]) -> set[str]:
    """Those of the ids that are a deployment's, and not of a deleted one."""
    query = select(deployments.c.id).where(deployments.c.id.in_(deployment_ids), deployments.c.deleted_at.is_(None))
    return {str(row.id) for row in connection.execute(query)}
