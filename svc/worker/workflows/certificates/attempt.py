"""What every step of an order shares: the order must still be wanted, and its failure ends it with the reason."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from sqlalchemy import Connection

from pkg.acme import AcmeFailure, AcmeProblem, AcmeServer
from pkg.acme.server import AccountKey
from pkg.certificates import orders, queries
from pkg.certificates.model import ChallengeKind, Order, OrderStatus
from pkg.certificates.schedule import MINUTE_MS, jitter
from pkg.dns_providers.port import DnsFailure, DnsProvider
from pkg.observability.logging import fields
from pkg.secrets import AssociatedData
from svc.worker.deps import WorkerDeps

# A server that does not answer is asked again after so many seconds, within the step.
PAUSES_S = (1.0, 3.0)
# What an authority limits may be one name's or the whole account's: others wait for so long at most.
MAX_ACCOUNT_PAUSE_MS = 15 * MINUTE_MS
DNS_FAILED = "certificate.dns_failed"

log = logging.getLogger(__name__)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What a step came to.

    Attributes:
        state: "done": go on; "waiting": not yet; "over": the order has ended, here or elsewhere.
        wait_ms: how long to wait before another look; 0: soon.
        version: of the desired state that the regions must apply; 0: none.
    """

    state: Literal["done", "waiting", "over"]
    wait_ms: int = 0
    version: int = 0


class OrderFailed(Exception):  # noqa: N818 - a reason
    """The order can't succeed. `message` is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


DONE = Progress(state="done")
OVER = Progress(state="over")


async def attempt(deps: WorkerDeps, order_id: str, action: Callable[[Order], Awaitable[Progress]]) -> Progress:
    """Runs a step's action, unless the order has ended. What fails ends the order, with the reason in its row."""
    order = await deps.db.read(orders.get, order_id)
    if order is None or order.status is not OrderStatus.RUNNING:
        return OVER
    try:
        return await _patiently(lambda: action(order))
    except AcmeFailure as failure:
        await fail(deps, order, code=failure.problem, message=failure.message, failure=failure)
    except DnsFailure as failure:
        message = f"The records that prove {order.name} could not be made: {failure}."
        await fail(deps, order, code=DNS_FAILED, message=message)
    except OrderFailed as failure:
        await fail(deps, order, code=failure.code, message=failure.message)
    return OVER


async def _patiently(action: Callable[[], Awaitable[Progress]]) -> Progress:
    for pause_s in PAUSES_S:
        try:
            return await action()
        except AcmeFailure as failure:
            if failure.problem is not AcmeProblem.UNREACHABLE or failure.retry_after_ms:
                raise
        await asyncio.sleep(pause_s)
    return await action()


async def fail(deps: WorkerDeps, order: Order, *, code: str, message: str, failure: AcmeFailure | None = None) -> None:
    """Ends the order as failed; its name is tried again as the schedule or the server says. Idempotent."""
    directory = deps.config.tls.directory
    retry_after_ms = 0 if failure is None else failure.retry_after_ms

    def write(connection: Connection) -> bool:
        now = deps.clock()
        if failure is not None and failure.problem is AcmeProblem.RATE_LIMITED:
            pause = min(retry_after_ms or MINUTE_MS, MAX_ACCOUNT_PAUSE_MS)
            orders.pause_account(connection, directory, now + pause, message)
        if failure is not None and failure.acme_type == "accountDoesNotExist":
            orders.forget_account_url(connection, directory)
        return orders.fail(
            connection, order.id, code=code, message=message, jitter=jitter(), now=now, retry_after_ms=retry_after_ms
        )

    if await deps.db.write(write):
        about = fields(order_id=order.id, certificate=order.name, error_code=code)
        log.warning("no certificate for %s: %s", order.name, message, extra=about)


def acme_of(deps: WorkerDeps) -> AcmeServer:
    """The configured server. Raises OrderFailed when ACME was turned off."""
    if deps.acme is None:
        raise OrderFailed("certificate.acme_is_off", "ACME was turned off in the worker's [tls] while it was ordered.")
    return deps.acme


def dns_of(deps: WorkerDeps, order: Order) -> DnsProvider:
    """The configured DNS server. Raises OrderFailed when there is none any more."""
    if deps.dns is None:
        message = f"{order.name} is proven by DNS, and the worker has no [tls.dns]."
        raise OrderFailed(DNS_FAILED, message)
    return deps.dns


async def account_of(deps: WorkerDeps) -> AccountKey:
    """The installation's account."""
    directory = deps.config.tls.directory

    def read(connection: Connection) -> AccountKey:
        found = orders.account(connection, directory)
        sealed = orders.account_key(connection, directory)
        key = deps.vault.open(sealed.data_key, sealed.key_sealed, AssociatedData.acme_account_key(directory))
        return AccountKey(key, "" if found is None else found.url or "")

    return await deps.db.read(read)


async def key_of(deps: WorkerDeps, order: Order) -> bytes:
    """The key that the order is for, PEM."""

    def read(connection: Connection) -> bytes:
        sealed = orders.key_of(connection, order.id)
        return deps.vault.open(sealed.data_key, sealed.key_sealed, AssociatedData.certificate_order_key(order.id))

    return await deps.db.read(read)


def challenge_name(hostname: str) -> str:
    """Where the record of a name is."""
    return f"_acme-challenge.{hostname}"


async def remove_answers(deps: WorkerDeps, order_id: str) -> None:
    """Takes the order's answers from the ingress and the DNS.

    Idempotent. What a DNS server refuses to remove stays in the table, and `forget_answers` tries again.
    """
    found = await deps.db.read(queries.challenges_of, order_id)
    removed = []
    for row in found:
        if row.kind is ChallengeKind.DNS_01:
            if deps.dns is None:
                continue
            try:
                await deps.dns.remove_txt(challenge_name(row.hostname), row.value)
            except DnsFailure as failure:
                log.warning("a record stays for now: %s", failure, extra=fields(order_id=order_id))
                continue
        removed.append(row.token)
    if removed:
        await deps.db.write(lambda connection: queries.remove_challenges(connection, removed, deps.clock()))
