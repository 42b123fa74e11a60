"""Changes that a caller asks for, each written together with its row in the audit log."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Connection

from pkg import audit
from svc.api.deps import ApiDeps
from svc.api.rpc import Call

T = TypeVar("T")


@dataclass(frozen=True)
class Change(Generic[T]):
    """What a transaction has done.

    Attributes:
        result: what the servicer answers from.
        targets: ids of what was made or changed, by the protos' field names; empty when the request was a repetition
            that changed nothing.
    """

    result: T
    targets: Mapping[str, str]


async def mutate(deps: ApiDeps, call: Call, change: Callable[[Connection], Change[T]]) -> T:
    """Runs `change` as one transaction and adds its audit row to it. Every method that changes something goes this way.

    Either both are committed or neither is: a call that fails, and one that changes nothing, leaves no row.
    """

    def transaction(connection: Connection) -> T:
        made = change(connection)
        if made.targets:
            entry = audit.AuditEntry(
                at=deps.clock(),
                workspace_id=call.workspace_id,
                key_id=call.caller.key_id,
                key_name=call.caller.name,
                method=call.method,
                request_id=call.request_id,
                targets=made.targets,
            )
            audit.record(connection, entry)
        return made.result

    return await deps.db.write(transaction)
