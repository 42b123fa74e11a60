"""The deletion's row: what the workflow reads first, and the outcomes that it writes last."""

import msgspec
from restate import TerminalError
from sqlalchemy import Connection

from pkg.deletions import queries as deletions
from pkg.deletions.model import DeletionStatus, DeletionStep
from pkg.teardown import queries
from svc.worker.deps import WorkerDeps


class TeardownInput(msgspec.Struct, frozen=True, kw_only=True):
    """What the workflow needs of its rows; none of it changes later."""

    code_version: int
    deletion_id: str
    status: str
    is_over: bool
    environment_ids: list[str]
    traceparent: str


async def begin(deps: WorkerDeps, deletion_id: str, code_version: int) -> TeardownInput:
    """Marks the deletion running. Idempotent."""

    def write(connection: Connection) -> TeardownInput:
        deletions.begin(connection, deletion_id)
        found = deletions.get(connection, deletion_id)
        if found is None:
            raise TerminalError(f"no deletion {deletion_id}", status_code=404)
        return TeardownInput(
            code_version=code_version,
            deletion_id=deletion_id,
            status=found.status,
            is_over=found.status.is_terminal,
            environment_ids=queries.environment_ids(connection, found),
            traceparent=found.traceparent,
        )

    return await deps.db.write(write)


class TeardownOutcome(msgspec.Struct, frozen=True):
    """How it ended."""

    status: str
    error_code: str


async def erase(deps: WorkerDeps, deletion_id: str) -> TeardownOutcome:
    """Erases the rows' content and ends the deletion as done. Idempotent."""

    def write(connection: Connection) -> TeardownOutcome:
        found = deletions.get(connection, deletion_id)
        assert found is not None
        if not found.status.is_terminal:
            deletions.note_progress(connection, deletion_id, DeletionStep.RECORDS)
            queries.erase(connection, found, deps.clock())
        return _outcome(connection, deletion_id)

    return await deps.db.write(write)


async def fail(deps: WorkerDeps, deletion_id: str) -> TeardownOutcome:
    """Ends it as failed: an operator has aborted it in the workflow engine. Idempotent; never overwrites an end."""

    def write(connection: Connection) -> TeardownOutcome:
        message = "The deletion was aborted in the workflow engine: delete again, what is gone already is skipped."
        deletions.end(
            connection, deletion_id, DeletionStatus.FAILED, deps.clock(),
            error_code="deletion.aborted", error_message=message,
        )  # fmt: skip
        return _outcome(connection, deletion_id)

    return await deps.db.write(write)


def _outcome(connection: Connection, deletion_id: str) -> TeardownOutcome:
    found = deletions.get(connection, deletion_id)
    assert found is not None
    return TeardownOutcome(found.status, found.error_code or "")
