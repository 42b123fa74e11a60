"""The order's row: what the workflow reads first, and how it ended."""

import msgspec
from restate import TerminalError
from sqlalchemy import Connection

from pkg.certificates import orders
from pkg.certificates.model import ChallengeKind, OrderStatus
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.certificates.attempt import fail


class OrderInput(msgspec.Struct, frozen=True, kw_only=True):
    """What the workflow needs of its row.

    `propagation_ms`: how long records need to reach all servers of the zone.
    """

    code_version: int
    status: str
    error_code: str
    is_over: bool
    propagation_ms: int
    traceparent: str


class OrderOutcome(msgspec.Struct, frozen=True):
    """How it ended."""

    status: str
    error_code: str


async def begin(deps: WorkerDeps, order_id: str, code_version: int) -> OrderInput:
    """Marks the order running. Idempotent."""
    dns = deps.config.tls.dns

    def write(connection: Connection) -> OrderInput:
        orders.begin(connection, order_id)
        order = orders.get(connection, order_id)
        if order is None:
            raise TerminalError(f"no order {order_id}", status_code=404)
        by_dns = order.challenge is ChallengeKind.DNS_01 and dns is not None
        return OrderInput(
            code_version=code_version,
            status=order.status,
            error_code=order.error_code or "",
            is_over=order.status.is_terminal,
            propagation_ms=dns.propagation_s * 1000 if by_dns and dns is not None else 0,
            traceparent=order.traceparent,
        )

    return await deps.db.write(write)


async def note_abort(deps: WorkerDeps, order_id: str, reason: str) -> None:
    """Fails an order whose run was ended by an operator. Idempotent."""
    order = await deps.db.read(orders.get, order_id)
    if order is not None and order.status is OrderStatus.RUNNING:
        message = f"The order could not continue: {reason}."
        await fail(deps, order, code="certificate.aborted", message=message)


async def read_end(deps: WorkerDeps, order_id: str) -> OrderOutcome:
    """What the row says now."""
    order = await deps.db.read(orders.get, order_id)
    assert order is not None
    return OrderOutcome(order.status, order.error_code or "")
