"""What is looked after between orders: when to renew, and answers that were left behind."""

import logging

from sqlalchemy import Connection

from pkg.acme import AcmeFailure
from pkg.acme.server import RenewalWindow
from pkg.certificates import orders, queries
from pkg.certificates.model import Certificate, ManagedCertificate, OrderStatus
from pkg.certificates.schedule import DAY_MS, jitter, renewal_info_at
from pkg.observability.logging import fields
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.certificates.attempt import remove_answers

ASKED_AT_ONCE = 20
# A certificate that replaced another one is not replaced sooner at the authority's wish: a window that is always in
# the past would otherwise cost an order each minute, and the account its limits.
MIN_RENEWAL_INTERVAL_MS = DAY_MS
# Among which an earlier success is looked for.
LATEST_ORDERS = 20

log = logging.getLogger(__name__)


async def ask_renewal_information(deps: WorkerDeps) -> None:
    """Asks the authority when to renew (RFC 9773): at once, if it has revoked the certificate. Idempotent."""
    if deps.acme is None:
        return
    for managed in await deps.db.read(queries.asking_for_renewal_information, deps.clock(), ASKED_AT_ONCE):
        found = await deps.db.read(queries.certificate, managed.certificate_id or "")
        window, message = None, ""
        if found is not None:
            try:
                window = await deps.acme.renewal_window(found.chain_pem)
            except AcmeFailure as failure:
                message = failure.message
        if message:
            log.info("no renewal information for %s: %s", managed.name, message, extra=fields(certificate=managed.name))
        await deps.db.write(_note, deps, managed.name, found, window)


def _note(
    connection: Connection, deps: WorkerDeps, name: str, asked: Certificate | None, window: RenewalWindow | None
) -> None:
    now, managed = deps.clock(), queries.managed_named(connection, name)
    if managed is None or asked is None or managed.certificate_id != asked.id:
        return  # it was renewed in between, with times of its own
    again = renewal_info_at(now, None if window is None else window.retry_after_ms)
    due_at = managed.due_at
    if window is not None:
        before = orders.latest_of(connection, name, LATEST_ORDERS)
        is_first = not any(one.status is OrderStatus.DONE and one.certificate_id != asked.id for one in before)
        earliest = 0 if is_first else asked.created_at + MIN_RENEWAL_INTERVAL_MS
        due_at = renewal_due(managed, window, not_after=asked.not_after, earliest=earliest)
        if due_at != managed.due_at:
            held = " (a day after the last renewal: the authority wants it sooner)" if due_at == earliest else ""
            log.info(
                "renewal information moves the renewal of %s to %d%s",
                name,
                due_at,
                held,
                extra=fields(certificate=name),
            )
    queries.change_managed(connection, name, now, renewal_info_at=again, due_at=due_at)


def renewal_due(managed: ManagedCertificate, window: RenewalWindow, *, not_after: int, earliest: int = 0) -> int:
    """When to renew: a random time in the window; the time of before, if it is in it or a renewal has failed. Pure.

    Args:
        managed: what is renewed, with the time of before.
        window: that the authority suggests. One that has no length, or begins after `not_after`, is not followed.
        not_after: when the certificate expires.
        earliest: no window brings the renewal forward to before this.
    """
    if managed.failed_at is not None or window.start <= managed.due_at <= window.end:
        return managed.due_at
    end = min(window.end, not_after)
    if end < window.start:
        return managed.due_at
    return max(window.start + int((end - window.start) * jitter()), min(earliest, managed.due_at))


async def forget_answers(deps: WorkerDeps) -> None:
    """Removes answers of orders that have ended, such as records that the DNS server would not remove. Idempotent."""
    for order_id in await deps.db.read(orders.ended_with_answers):
        await remove_answers(deps, order_id)
