"""The account, the order, and the proof of each name."""

from collections.abc import Sequence

from sqlalchemy import Connection

from pkg.acme import AcmeFailure
from pkg.acme.server import AccountKey, Authorization, Challenge
from pkg.certificates import orders, queries
from pkg.certificates.local import new_key_pem
from pkg.certificates.model import ChallengeKind, ChallengeRow, Order, OrderStatus, SealedKey
from pkg.desired.capabilities import CHALLENGE
from pkg.regions import capabilities
from pkg.regions import queries as regions
from pkg.regions.queries import Region
from pkg.regions.silence import silences
from pkg.secrets import AssociatedData
from svc.worker.deps import WorkerDeps
from svc.worker.workflows.certificates.attempt import (
    DONE,
    OVER,
    OrderFailed,
    Progress,
    account_of,
    acme_of,
    attempt,
    challenge_name,
    dns_of,
    fail,
    key_of,
)
from svc.worker.workflows.waiting import Observation

# A region without contact for longer than this is not waited for: it may be gone for good.
FORGOTTEN_AFTER_MS = 3_600_000


async def register(deps: WorkerDeps, order_id: str) -> Progress:
    """The installation has an account at the server. Its key is stored before the server sees it. Idempotent."""

    async def action(order: Order) -> Progress:
        server, tls = acme_of(deps), deps.config.tls
        found = await deps.db.read(orders.account, tls.directory)
        if found is not None and found.url and found.email == tls.email:
            return DONE
        if found is None:
            data_key = deps.vault.new_data_key()
            sealed = deps.vault.seal(data_key, new_key_pem(), AssociatedData.acme_account_key(tls.directory))
            key = SealedKey(data_key, sealed)
            await deps.db.write(orders.add_account, tls.directory, tls.email, key, deps.clock())
        # another worker may have stored one first: read it again
        account = await account_of(deps)
        url = await server.register(AccountKey(account.key_pem))
        await deps.db.write(orders.set_account_url, tls.directory, url, tls.email)
        return DONE

    return await attempt(deps, order_id, action)


async def place(deps: WorkerDeps, order_id: str) -> Progress:
    """The order is made. A crash between the server's answer and ours makes it twice, which costs nothing."""

    async def action(order: Order) -> Progress:
        if order.url is None:
            url = await acme_of(deps).new_order(await account_of(deps), await key_of(deps, order), order.names_json)
            await deps.db.write(orders.set_url, order.id, url)
        return DONE

    return await attempt(deps, order_id, action)


async def put_answers(deps: WorkerDeps, order_id: str) -> Progress:
    """The answers are on their way to the regions, or in the DNS. Repeatable."""

    async def action(order: Order) -> Progress:
        version = 0
        for found in await _authorizations(deps, order):
            if found.status == "valid":  # the authority remembers an earlier proof
                continue
            challenge = _open_challenge(found, order)
            row = ChallengeRow(
                challenge.token, order.id, order.challenge, found.hostname, challenge.value, deps.clock()
            )
            put = await deps.db.write(_put_answer, row)
            if put is None:
                return OVER
            version = max(version, put)
            if order.challenge is ChallengeKind.DNS_01:
                await dns_of(deps, order).add_txt(challenge_name(found.hostname), challenge.value)
        return Progress(state="done", version=version)

    return await attempt(deps, order_id, action)


def _put_answer(connection: Connection, row: ChallengeRow) -> int | None:
    """The version; None: the order has ended in between, and would leave the answer behind."""
    order = orders.get(connection, row.order_id)
    if order is None or order.status is not OrderStatus.RUNNING:
        return None
    return queries.put_challenge(connection, row)


def _open_challenge(found: Authorization, order: Order) -> Challenge:
    if found.failure is not None:
        raise found.failure
    if found.status != "pending":
        raise OrderFailed("certificate.refused", f"The authorization of {found.hostname} is {found.status}.")
    if found.challenge is None:
        raise OrderFailed(
            "certificate.refused",
            f"The authority does not offer to check {found.hostname} by {order.challenge}.",
        )
    return found.challenge


async def observe_answers(deps: WorkerDeps, order_id: str, version: int) -> Observation:
    """Whether every region that may be asked has the answers; also settled when the order has ended."""
    now = deps.clock()

    def read(connection: Connection) -> bool:
        order = orders.get(connection, order_id)
        is_over = order is None or order.status is not OrderStatus.RUNNING
        return is_over or _obstacle(connection, version, now) == ""

    return Observation(settled=await deps.db.read(read), now=now)


async def note_not_applied(deps: WorkerDeps, order_id: str, version: int, waited_s: int) -> None:
    """Fails the order, naming the region that has no answers. Idempotent."""
    order = await deps.db.read(orders.get, order_id)
    if order is None or order.status is not OrderStatus.RUNNING:
        return
    obstacle = await deps.db.read(_obstacle, version, deps.clock()) or "it was applied too late"
    message = f"The ingress did not have the answers for the authority within {waited_s} s: {obstacle}."
    await fail(deps, order, code="certificate.not_applied", message=message)


def _obstacle(connection: Connection, version: int, now: int) -> str:
    known = [region for region in regions.every(connection) if now - region.last_seen_at < FORGOTTEN_AFTER_MS]
    if not known:
        return "no region is in contact (is krane running?)"
    if reason := capabilities.unsupported(known, {CHALLENGE.capability}, [version]):
        return reason
    behind = regions.behind(connection, [region.name for region in known], version)
    return "" if not behind else _why_behind(behind[0], known, now)


def _why_behind(name: str, known: list[Region], now: int) -> str:
    silent = silences(known, now).get(name)
    if silent is not None and not silent.is_probed:
        return silent.reason
    return f"region {name} has not reported it as applied (is krane running there, and its Envoy?)"


async def answer(deps: WorkerDeps, order_id: str) -> Progress:
    """The server is told to look. Repeatable."""

    async def action(order: Order) -> Progress:
        server, account = acme_of(deps), await account_of(deps)
        for found in await _authorizations(deps, order):
            if found.status == "pending" and found.challenge is not None and found.challenge.status == "pending":
                await server.answer(account, found.challenge.url)
        return DONE

    return await attempt(deps, order_id, action)


async def observe_proof(deps: WorkerDeps, order_id: str) -> Progress:
    """Whether every name is proven. One that is not ends the order, in the authority's words."""

    async def action(order: Order) -> Progress:
        found = await _authorizations(deps, order)
        for one in found:
            if one.status not in {"valid", "pending"}:
                raise one.failure or _refused(one)
        if all(one.status == "valid" for one in found):
            return DONE
        return Progress(state="waiting", wait_ms=max(one.retry_after_ms for one in found))

    return await attempt(deps, order_id, action)


def _refused(found: Authorization) -> AcmeFailure | OrderFailed:
    return OrderFailed(
        "certificate.validation_failed", f"The authority has not proven {found.hostname}: it is {found.status}."
    )


async def _authorizations(deps: WorkerDeps, order: Order) -> list[Authorization]:
    assert order.url is not None
    found = await acme_of(deps).authorizations(await account_of(deps), order.url, order.challenge)
    check_names(order, found)
    return found


def check_names(order: Order, found: Sequence[Authorization]) -> None:
    """Raises OrderFailed for a name that was not ordered: no answer or record is made for it."""
    ordered = {name.removeprefix("*.") for name in order.names_json}
    foreign = next((one.hostname for one in found if one.hostname.lower() not in ordered), None)
    if foreign is not None:
        message = f"The authority asks for a proof of {foreign[:253]!a}, which is not in the order."
        raise OrderFailed("certificate.refused", message)
