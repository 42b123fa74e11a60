"""What is looked after between orders: when to renew, and answers that were left behind."""

import logging

from sqlalchemy import Connection

from pkg.acme import AcmeFailure
from pkg.acme.server import RenewalWindow
from pkg.certificates import orders, queries
from pkg.certificates.model import Certificate, ManagedCertificate
from pkg.certificates.schedule import jitter, renewal_info_at
from pkg.observability.logging import fields
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.certificates.attempt import remove_answers

ASKED_AT_ONCE = 20

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
    due_at = managed.due_at if window is None else renewal_due(managed, window)
    if due_at != managed.due_at:
        log.info("the authority wants %s to be renewed at %d", name, due_at, extra=fields(certificate=name))
    queries.change_managed(connection, name, now, renewal_info_at=again, due_at=due_at)


def renewal_due(managed: ManagedCertificate, window: RenewalWindow) -> int:
    """When to renew: a random time in the window; the time of before, if it is in it or a renewal has failed. Pure."""
    if managed.failed_at is not None or window.start <= managed.due_at <= window.end:
        return managed.due_at
    return window.start + int((window.end - window.start) * jitter())


async def forget_answers(deps: WorkerDeps) -> None:
    """Removes answers of orders that have ended, such as records that the DNS server would not remove. Idempotent."""
    for order_id in await deps.db.read(orders.ended_with_answers):
        await remove_answers(deps, order_id)
