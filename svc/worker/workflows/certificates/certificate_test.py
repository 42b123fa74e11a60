"""What an order promises, on a real Restate (replay forced, too), against Pebble and BIND."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from sqlalchemy import Connection

from pkg.certificates import orders, queries
from pkg.certificates.config import Tls
from pkg.certificates.local import new_key_pem
from pkg.certificates.model import Certificate, ChallengeKind, Issuer, ManagedCertificate, Order, OrderStatus, SealedKey
from pkg.certificates.schedule import DAY_MS
from pkg.clock import now_ms
from pkg.ids import new_id
from pkg.restate.testing import RestateServer
from pkg.secrets import AssociatedData
from pkg.testing.acme import is_installed
from pkg.testing.acme.answers import answering
from pkg.testing.acme.bind import bind
from pkg.testing.acme.pebble import Pebble, pebble
from pkg.workflows.certificate import CERTIFICATE
from svc.worker.testing.harness import WorkerHarness, worker_harness

pytestmark = pytest.mark.skipif(not is_installed(), reason="Debian's packages pebble and bind9 are not installed")

NAME = "a.example.test"


class Ordering:
    """One worker that orders certificates, and the api's part in it."""

    def __init__(self, harness: WorkerHarness) -> None:
        self.harness = harness
        self.db = harness.deps.db

    async def order(self, *names: str, challenge: ChallengeKind = ChallengeKind.HTTP_01, url: str | None = None) -> str:
        """What a pass of the api's sweep does for a name that is due; the order's id."""
        order_id, vault, now = new_id("ord"), self.harness.deps.vault, now_ms()
        data_key = vault.new_data_key()
        sealed = vault.seal(data_key, new_key_pem(), AssociatedData.certificate_order_key(order_id))

        def write(connection: Connection) -> None:
            if queries.managed_named(connection, names[0]) is None:
                values = {"name": names[0], "names_json": list(names), "workspace_id": None}
                queries.put_managed(connection, values | {"issuer": Issuer.ACME, "challenge": challenge}, now)
            orders.add(
                connection, order_id=order_id, name=names[0], names=names, challenge=challenge,
                key=SealedKey(data_key, sealed), traceparent="", now=now, url=url,
            )  # fmt: skip

        await self.db.write(write)
        await self.harness.dispatch(CERTIFICATE, order_id)
        return order_id

    async def ended(self, order_id: str) -> Order:
        """The order once its workflow is over; it leaves no answers behind."""

        async def look() -> Order | None:
            found = await self.db.read(orders.get, order_id)
            return found if found is not None and found.status.is_terminal else None

        ended = await self.harness.until(look, "the order ends")
        assert ended is not None
        await self.harness.workflow_over(CERTIFICATE, order_id)
        assert await self.db.read(queries.challenges_of, order_id) == []
        return ended

    async def managed(self, name: str = NAME) -> ManagedCertificate:
        """The row."""
        found = await self.db.read(queries.managed_named, name)
        assert found is not None
        return found

    async def certificate(self, name: str = NAME) -> Certificate:
        """The newest one."""
        found = await self.db.read(queries.certificate, (await self.managed(name)).certificate_id or "")
        assert found is not None
        return found


@asynccontextmanager
async def ordering(
    server: RestateServer, folder: Path, running: Pebble, tls: Tls | None = None
) -> AsyncIterator[Ordering]:
    """A worker, a region, and an ingress that gives the answers that the region has applied."""
    async with worker_harness(server, folder, tls=tls or running.tls()) as harness:

        def find(token: str) -> str | None:
            if not harness.region.behavior.applies:
                return None
            with harness.deps.db.engine.connect() as connection:
                found = queries.http_challenge(connection, token)
            return None if found is None else found.value

        async with answering(running.http_port, find):
            yield Ordering(harness)


async def test_a_certificate_by_http(restate_server: RestateServer, tmp_path: Path) -> None:
    """With an external account, half of all nonces refused: it is served, with its key, and due at two thirds."""
    async with pebble(tmp_path / "pebble") as running, ordering(restate_server, tmp_path, running) as ours:
        ended = await ours.ended(await ours.order(NAME))
        assert (ended.status, ended.error_message) == (OrderStatus.DONE, None)
        found, managed, vault = await ours.certificate(), await ours.managed(), ours.harness.deps.vault
        assert (found.issuer, found.names_json) == (Issuer.ACME, [NAME])
        assert (managed.failures, managed.failed_at) == (0, None)
        assert 0.6 < (managed.due_at - found.not_before) / (found.not_after - found.not_before) < 0.75
        assert managed.renewal_info_at is not None
        sealed = await ours.db.read(queries.certificate_key, found.id)
        key = vault.open(sealed.data_key, sealed.key_sealed, AssociatedData.certificate_key(found.id))
        leaf = x509.load_pem_x509_certificates(found.chain_pem.encode())[0]
        assert leaf.public_key() == serialization.load_pem_private_key(key, None).public_key()
        # a second one is by the same account
        account = await ours.db.read(orders.account, running.directory)
        assert (await ours.ended(await ours.order("b.example.test"))).status is OrderStatus.DONE
        assert await ours.db.read(orders.account, running.directory) == account
        assert len(await ours.db.read(queries.every_certificate)) == 2


async def test_a_wildcard_by_dns(restate_server: RestateServer, tmp_path: Path) -> None:
    """A domain and its wildcard in one certificate; the zone is as it was afterwards."""
    names = ("example.test", "*.example.test")
    async with (
        bind(tmp_path / "bind", "example.test") as named,
        pebble(tmp_path / "pebble", dns_port=named.port) as running,
        ordering(restate_server, tmp_path, running, running.tls(dns=named.config)) as ours,
    ):
        ended = await ours.ended(await ours.order(*names, challenge=ChallengeKind.DNS_01))
        assert (ended.status, ended.error_message) == (OrderStatus.DONE, None)
        assert (await ours.certificate("example.test")).names_json == list(names)
        assert await named.txt("_acme-challenge.example.test") == set()


async def test_the_authority_is_told_once_every_region_has_the_answers(
    restate_server: RestateServer, tmp_path: Path
) -> None:
    """It asks only once: what is not there yet would be a failed validation."""
    async with pebble(tmp_path / "pebble") as running, ordering(restate_server, tmp_path, running) as ours:
        region = ours.harness.region
        region.behavior.applies = False
        order_id = await ours.order(NAME)

        async def answers_are_stored() -> bool:
            return bool(await ours.db.read(queries.challenges_of, order_id))

        await ours.harness.until(answers_are_stored, "the answers are stored")
        await asyncio.sleep(1)  # nothing says that the authority was not asked
        assert "Pulled a task from the Tasks queue" not in running.log()
        region.behavior.applies = True
        region.changed()
        assert (await ours.ended(order_id)).status is OrderStatus.DONE


async def test_a_region_that_never_has_them_fails_the_order(restate_server: RestateServer, tmp_path: Path) -> None:
    """With its name and what to look at; the name is tried again."""
    async with (
        pebble(tmp_path / "pebble") as running,
        worker_harness(restate_server, tmp_path, tls=running.tls(), route_timeout_s=1) as harness,
    ):
        ours = Ordering(harness)
        harness.region.behavior.applies = False
        ended = await ours.ended(await ours.order(NAME))
        assert (ended.status, ended.error_code) == (OrderStatus.FAILED, "certificate.not_applied")
        assert "region local has not reported it" in (ended.error_message or "")
        assert (await ours.managed()).due_at > now_ms()


async def test_a_failed_validation_is_told_in_the_authoritys_words(
    restate_server: RestateServer, tmp_path: Path
) -> None:
    """The certificate of before stays, and the next attempt is later; one by hand may succeed."""
    async with pebble(tmp_path / "pebble") as running, ordering(restate_server, tmp_path, running) as ours:
        assert (await ours.ended(await ours.order(NAME))).status is OrderStatus.DONE
        before = await ours.certificate()
        await running.dns("set-default-ipv4", ip="127.0.0.2")
        started = now_ms()
        failed = await ours.ended(await ours.order(NAME))
        assert (failed.status, failed.error_code) == (OrderStatus.FAILED, "certificate.validation_failed")
        assert NAME in (failed.error_message or "")
        assert "refused" in (failed.error_message or "")
        managed = await ours.managed()
        assert (managed.failures, managed.error_message) == (1, failed.error_message)
        assert started + 60_000 <= managed.due_at <= now_ms() + 70_000
        assert await ours.certificate() == before
        await running.dns("set-default-ipv4", ip="127.0.0.1")
        assert (await ours.ended(await ours.order(NAME))).status is OrderStatus.DONE
        assert (await ours.managed()).error_message is None


async def test_a_name_that_is_wanted_no_more_ends_its_order(restate_server: RestateServer, tmp_path: Path) -> None:
    """In the middle of it: nothing is stored, and the answers go."""
    async with pebble(tmp_path / "pebble") as running, ordering(restate_server, tmp_path, running) as ours:
        ours.harness.region.behavior.applies = False
        order_id = await ours.order(NAME)

        async def answers_are_stored() -> bool:
            return bool(await ours.db.read(queries.challenges_of, order_id))

        await ours.harness.until(answers_are_stored, "the answers are stored")

        def remove(connection: Connection) -> None:
            assert orders.cancel(connection, order_id, now_ms())
            queries.remove_http_challenges(connection, order_id, now_ms())
            queries.remove_managed(connection, [NAME])

        await ours.db.write(remove)
        ours.harness.region.behavior.applies = True
        ours.harness.region.changed()
        assert (await ours.ended(order_id)).status is OrderStatus.CANCELLED
        assert await ours.db.read(queries.every_certificate) == []


async def test_a_server_that_is_away_costs_an_attempt_and_no_more(
    restate_server: RestateServer, tmp_path: Path
) -> None:
    """The order fails with the reason, again and again with longer pauses; no invocation waits for it."""
    tls = Tls(email="a@example.test", directory="https://127.0.0.1:9/dir")
    async with worker_harness(restate_server, tmp_path, tls=tls) as harness:
        ours = Ordering(harness)
        pauses = []
        for number in range(1, 4):
            ended = await ours.ended(await ours.order(NAME))
            assert (ended.status, ended.error_code) == (OrderStatus.FAILED, "certificate.unreachable")
            assert "127.0.0.1 does not answer" in (ended.error_message or "")
            managed = await ours.managed()
            assert managed.failures == number
            pauses.append(managed.due_at - (managed.failed_at or 0))
        assert pauses[0] < pauses[1] < pauses[2] < DAY_MS


async def test_an_order_is_found_again_after_a_crash(restate_server: RestateServer, tmp_path: Path) -> None:
    """Its URL is stored: the next run goes on with it, as with an order on which the authority was slow."""
    async with pebble(tmp_path / "pebble") as running, ordering(restate_server, tmp_path, running) as ours:
        region = ours.harness.region
        region.behavior.applies = False
        first = await ours.order(NAME)

        async def url() -> str | None:
            found = await ours.db.read(orders.get, first)
            return None if found is None else found.url

        placed = await ours.harness.until(url, "the order is placed")
        await ours.db.write(
            lambda connection: orders.fail(
                connection, first, code="certificate.slow", message="slow", jitter=0, now=now_ms()
            )
        )
        region.behavior.applies = True
        region.changed()
        assert (await ours.ended(first)).status is OrderStatus.FAILED
        second = await ours.order(NAME, url=placed)
        ended = await ours.ended(second)
        assert (ended.status, ended.url) == (OrderStatus.DONE, placed)


async def test_no_key_is_in_the_journal_or_in_a_log(
    restate_server: RestateServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the account's, nor the certificate's, nor the one of the external account, nor of the DNS."""
    async with (
        bind(tmp_path / "bind", "example.test") as named,
        pebble(tmp_path / "pebble", dns_port=named.port) as running,
        ordering(restate_server, tmp_path, running, running.tls(dns=named.config)) as ours,
    ):
        caplog.set_level("DEBUG")
        order_id = await ours.order("*.example.test", challenge=ChallengeKind.DNS_01)
        assert (await ours.ended(order_id)).status is OrderStatus.DONE
        journal = await ours.harness.journal_of(order_id)
        assert len(journal) > 5
        for secret in (running.eab_key, named.config.key_secret.reveal(), "PRIVATE KEY", "_acme-challenge", "https:"):
            assert secret not in str(journal)
        for secret in (running.eab_key, named.config.key_secret.reveal(), "PRIVATE KEY"):
            assert secret not in caplog.text
