"""The good end of an operation."""

import msgspec
from sqlalchemy import Connection

from pkg.operations import queries as operations
from pkg.operations.model import OperationStatus
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.displaced import Unrouted, retire_later, unrouted
from svc.worker.workflows.switch.begin import Begun


class Completed(msgspec.Struct, frozen=True):
    """Who is to stop after a while."""

    now: int
    unrouted: list[Unrouted]


async def complete(journal: Journal, begun: Begun) -> None:
    """Ends the operation as done; what it displaced stays warm for a while."""
    done = await journal.step("done", write_done, begun.operation_id)
    retire_later(journal, begun.environment_id, done.unrouted, done.now)


async def write_done(deps: WorkerDeps, operation_id: str) -> Completed:
    """Ends it, and puts on standby what lost its shared hostnames. Idempotent."""

    def write(connection: Connection) -> Completed:
        now = deps.clock()
        operation = operations.get(connection, operation_id)
        assert operation is not None
        operations.end(connection, operation_id, OperationStatus.DONE, now)
        if operation.kind.is_stop:
            return Completed(now, [])
        displaced = unrouted(
            connection,
            operation.environment_id,
            ready_id=operation.deployment_id,
            since=operation.created_at,
            now=now,
        )
        return Completed(now, displaced)

    return await deps.db.write(write)
