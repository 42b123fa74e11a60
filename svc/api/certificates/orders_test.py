"""Promise: the sweep orders by ACME what is due, no more than is borne, and never twice for one name."""

from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from pkg.certificates import orders, queries
from pkg.certificates.config import Tls
from pkg.certificates.model import SLOW, ChallengeKind, ChallengeRow, Issuer, Order, OrderStatus, SealedKey
from pkg.certificates.schedule import DAY_MS
from pkg.certificates.wanted import Wanted, Wants
from pkg.config.sections import Ingress
from pkg.ids import new_id
from pkg.observability.metrics import Metrics
from pkg.secrets import AssociatedData
from pkg.workflows import outbox
from pkg.workflows.certificate import CERTIFICATE
from svc.api.certificates import sweep as module
from svc.api.certificates.metrics import CertificateMetrics
from svc.api.certificates.sweep import MAX_ORDERS, CertificateSweep
from svc.api.testing import RunningApi

NOW = 1_800_000_000_000
DIRECTORY = "https://acme.example/dir"


class Dispatcher:
    """Counts how often it was told of orders."""

    told = 0

    def notify(self) -> None:
        """There is something to send."""
        self.told += 1


class Sweeping:
    """A sweep by a clock that the test sets, over names that it names."""

    def __init__(self, api: RunningApi, wanted: list[str]) -> None:
        self.db, self.vault, self.now, self.wanted = api.db, api.vault, NOW, wanted
        self.directory = DIRECTORY
        self.dispatcher = Dispatcher()
        dispatcher: Any = self.dispatcher
        tls = Tls(email="a@example.com", directory=DIRECTORY)
        metrics = CertificateMetrics(Metrics("api", "inst_1"), lambda: self.now)
        self._sweep = CertificateSweep(self.db, lambda: self.now, self.vault, tls, Ingress(), dispatcher, metrics)

    def wants(self, *_: object) -> Wants:
        """What is wanted."""
        return Wants(
            tuple(
                Wanted((name,), None, Issuer.ACME, ChallengeKind.HTTP_01, self.directory)
                for name in sorted(self.wanted)
            )
        )

    async def orders(self) -> list[Order]:
        """The orders under way, after a pass."""
        await self._sweep.sweep()
        return await self.db.read(orders.active)

    async def fail(self, order: Order, code: str = "certificate.unreachable", retry_after_ms: int = 0) -> None:
        """The worker could not get one."""
        await self.db.write(
            lambda connection: orders.fail(
                connection, order.id, code=code, message="no", jitter=0, now=self.now, retry_after_ms=retry_after_ms
            )
        )

    async def finish(self, order: Order, lifetime_ms: int = 90 * DAY_MS) -> str:
        """The worker got one; its id."""
        certificate_id = new_id("cert")

        def write(connection: Connection) -> None:
            queries.add_certificate(
                connection, certificate_id=certificate_id, name=order.name, names=order.names_json,
                issuer=Issuer.ACME, chain_pem="chain", key=SealedKey(b"k", b"s"), not_before=self.now,
                not_after=self.now + lifetime_ms, now=self.now,
            )  # fmt: skip
            orders.finish(connection, order.id, certificate_id, self.now)
            queries.note_issued(
                connection, order.name, certificate_id, due_at=self.now + lifetime_ms * 2 // 3, renewal_info_at=None,
                now=self.now,
            )  # fmt: skip

        await self.db.write(write)
        return certificate_id


@pytest.fixture
def sweeping(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> Sweeping:
    made = Sweeping(api, ["a.example"])
    monkeypatch.setattr(module, "wants", made.wants)
    return made


async def test_an_order_is_recorded_with_its_dispatch(sweeping: Sweeping) -> None:
    """In one transaction, and told to the dispatcher; another pass makes no second one."""
    [order] = await sweeping.orders()
    assert (order.name, order.status, order.challenge) == ("a.example", OrderStatus.PENDING, ChallengeKind.HTTP_01)
    assert await sweeping.db.read(outbox.get, CERTIFICATE, order.id) is not None
    assert await sweeping.orders() == [order]
    assert sweeping.dispatcher.told == 1


async def test_two_orders_for_a_name_cannot_be_recorded(sweeping: Sweeping) -> None:
    """By any process: the database refuses the second."""
    await sweeping.orders()
    with pytest.raises(IntegrityError):
        await sweeping.db.write(
            lambda connection: orders.add(
                connection, order_id="ord_2", name="a.example", names=["a.example"], challenge=ChallengeKind.HTTP_01,
                key=SealedKey(b"k", b"s"), traceparent="", now=NOW,
            )
        )  # fmt: skip


async def test_a_thousand_names_are_ordered_a_few_at_a_time(sweeping: Sweeping) -> None:
    """First what has no certificate; each end makes room for another."""
    sweeping.wanted = [f"{number:04}.example" for number in range(1000)]
    under_way = await sweeping.orders()
    assert len(under_way) == MAX_ORDERS
    await sweeping.fail(under_way[0])
    await sweeping.finish(under_way[1])
    after = await sweeping.orders()
    assert len(after) == MAX_ORDERS
    assert {order.name for order in after} & {under_way[0].name, under_way[1].name} == set()


async def test_a_server_that_is_away_for_a_day_is_asked_less_and_less(sweeping: Sweeping) -> None:
    """And the certificate that there is stays; afterwards it is renewed at the next attempt."""
    [order] = await sweeping.orders()
    certificate_id = await sweeping.finish(order)
    sweeping.now = NOW + 61 * DAY_MS
    attempts, began = 0, sweeping.now
    while sweeping.now < began + DAY_MS:
        if due := await sweeping.orders():
            attempts += 1
            await sweeping.fail(due[0])
        sweeping.now += 60_000 * 10
    assert 4 <= attempts <= 10
    assert [one.id for one in await sweeping.db.read(queries.every_certificate)] == [certificate_id]
    sweeping.now += DAY_MS
    assert len(await sweeping.orders()) == 1


async def test_a_rate_limit_is_respected_after_a_restart(sweeping: Sweeping, api: RunningApi) -> None:
    """The name waits for as long as it was asked to, and another api knows it, too."""
    [order] = await sweeping.orders()
    await sweeping.fail(order, "certificate.rate_limited", retry_after_ms=DAY_MS)
    sweeping.now = NOW + DAY_MS - 1
    assert await sweeping.orders() == []
    sweeping.now = NOW + DAY_MS
    assert len(await sweeping.orders()) == 1


async def test_nothing_is_ordered_while_the_account_is_paused(sweeping: Sweeping) -> None:
    """Of whichever name."""
    pause = NOW + 600_000
    await sweeping.db.write(orders.add_account, DIRECTORY, "a@example.com", SealedKey(b"k", b"s"), NOW)
    await sweeping.db.write(orders.pause_account, DIRECTORY, pause, "too many new orders")
    assert await sweeping.orders() == []
    sweeping.now = pause
    assert len(await sweeping.orders()) == 1


async def test_a_slow_order_is_gone_on_with(sweeping: Sweeping) -> None:
    """The same order at the server, with the same key: the certificate may be there by then."""
    [order] = await sweeping.orders()
    await sweeping.db.write(orders.set_url, order.id, "https://acme.example/order/1")
    await sweeping.fail(order, "certificate.slow")
    sweeping.now += DAY_MS
    [again] = await sweeping.orders()
    assert again.url == "https://acme.example/order/1"
    keys = []
    for one in (order, again):
        sealed = await sweeping.db.read(orders.key_of, one.id)
        place = AssociatedData.certificate_order_key(one.id)
        keys.append(sweeping.vault.open(sealed.data_key, sealed.key_sealed, place))
    assert keys[0] == keys[1]
    await sweeping.fail(again)
    sweeping.now += DAY_MS
    [fresh] = await sweeping.orders()
    assert fresh.url is None


async def test_another_authority_is_asked_at_once(sweeping: Sweeping) -> None:
    """After a first try with an authority's test server, the real one issues now and not at the renewal."""
    [first] = await sweeping.orders()
    tried = await sweeping.finish(first)
    assert await sweeping.orders() == []
    sweeping.directory = "https://other.example/dir"
    [second] = await sweeping.orders()
    assert (second.name, second.url) == (first.name, None)
    assert [one.id for one in await sweeping.db.read(queries.every_certificate)] == [tried], "it is served meanwhile"
    await sweeping.fail(second, code=SLOW)
    sweeping.directory = DIRECTORY
    sweeping.now += 60_000
    [third] = await sweeping.orders()
    assert third.url is None, "an order of the other one is not gone on with"


async def test_what_an_earlier_version_ordered_is_kept(sweeping: Sweeping) -> None:
    """It did not record where: at the server that is configured."""
    [order] = await sweeping.orders()
    await sweeping.finish(order)
    await sweeping.db.write(lambda c: c.exec_driver_sql("UPDATE managed_certificates SET directory = NULL"))
    assert await sweeping.orders() == []
    [kept] = await sweeping.db.read(queries.managed)
    assert kept.directory == DIRECTORY


async def test_a_name_that_is_wanted_no_more_ends_its_order(sweeping: Sweeping) -> None:
    """Its answers go with it, and its certificate is served no more."""
    [order] = await sweeping.orders()
    await sweeping.finish(order)
    sweeping.now += 61 * DAY_MS
    [renewal] = await sweeping.orders()
    row = ChallengeRow("token", renewal.id, ChallengeKind.HTTP_01, "a.example", "answer", NOW)
    await sweeping.db.write(queries.put_challenge, row)
    sweeping.wanted = []
    assert await sweeping.orders() == []
    found = await sweeping.db.read(orders.get, renewal.id)
    assert found is not None
    assert found.status is OrderStatus.CANCELLED
    assert await sweeping.db.read(queries.challenges_of, renewal.id) == []
    assert await sweeping.db.read(queries.every_certificate) == []
    sweeping.wanted = ["a.example"]
    assert len(await sweeping.orders()) == 1
