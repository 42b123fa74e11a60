"""Promise: what is wanted has a certificate, the old one serves until the new one does, and nothing else is kept."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection

from pkg.certificates import queries
from pkg.certificates.config import Tls
from pkg.certificates.model import Certificate, ChallengeKind, Issuer, ManagedCertificate
from pkg.certificates.schedule import DAY_MS
from pkg.certificates.wanted import Wanted, Wants
from pkg.config.sections import Ingress
from pkg.feed import queries as feed
from pkg.observability.metrics import Metrics
from pkg.regions import queries as regions
from pkg.regions.tables import regions as regions_table
from svc.api.certificates import sweep as module
from svc.api.certificates.metrics import CertificateMetrics
from svc.api.certificates.sweep import CertificateSweep, State
from svc.api.conftest import Deploy
from svc.api.testing import RunningApi

APEX = "sealift.localhost"
NOW = 1_800_000_000_000


class Clock:
    """A clock that a test sets."""

    now = NOW

    def __call__(self) -> int:
        return self.now


class Sweeping:
    """A sweep over the api's database, by a clock of its own."""

    def __init__(self, api: RunningApi, clock: Clock) -> None:
        self.db = api.db
        self.clock = clock
        self._vault = api.vault
        self._metrics = Metrics("api", "inst_1")
        self._certificate_metrics = CertificateMetrics(self._metrics, clock)
        self.configure(Tls())

    def configure(self, tls: Tls, **ingress: Any) -> None:
        """Another start of the api, with these settings."""
        dispatcher: Any = None  # the local authority makes no orders
        section = Ingress(**ingress)
        self._sweep = CertificateSweep(
            self.db, self.clock, self._vault, tls, section, dispatcher, self._certificate_metrics
        )

    async def sweep(self) -> bool:
        """One pass; False: more is due."""
        return await self._sweep.sweep()

    async def served(self) -> dict[str, list[Certificate]]:
        """What is served after a pass, by name."""
        assert await self.sweep()
        found: dict[str, list[Certificate]] = {}
        for one in await self.db.read(queries.every_certificate):
            found.setdefault(one.name, []).append(one)
        return found

    def figure(self, name: str, outcome: str) -> float | None:
        """Of the metrics after the last pass; None: it is not there."""
        return self._metrics.registry.get_sample_value(f"sealift_{name}", {"outcome": outcome})

    async def head(self) -> int:
        """The newest version of the feed."""
        return (await self.db.read(feed.head)).version

    async def region(self, applied: int) -> None:
        """A region is in contact and has applied that version."""

        def write(connection: Connection) -> None:
            regions.register(
                connection, name="local", krane_instance_id="i", krane_version="1", runtime="docker", engine="e",
                now=self.clock(),
            )  # fmt: skip
            connection.execute(regions_table.update().values(applied_version=applied, last_seen_at=self.clock()))

        await self.db.write(write)


async def test_the_apex_and_its_wildcard_have_one_certificate(api: RunningApi) -> None:
    """On a default installation; another pass changes nothing, and the authority is made once."""
    sweeping = Sweeping(api, Clock())
    first = await sweeping.served()
    assert {name: [one.names_json for one in found] for name, found in first.items()} == {APEX: [[APEX, f"*.{APEX}"]]}
    authority, version = await api.db.read(queries.authority), await sweeping.head()
    assert await sweeping.served() == first
    assert await sweeping.head() == version
    sweeping.configure(Tls(), api_hostname="deploy.localhost")
    assert set(await sweeping.served()) == {APEX, "deploy.localhost"}
    assert await api.db.read(queries.authority) == authority


async def test_the_old_one_serves_until_the_new_one_is_acknowledged(api: RunningApi) -> None:
    """A renewal is a second certificate; the first one goes once every region in contact has applied the second."""
    clock = Clock()
    sweeping = Sweeping(api, clock)
    [old] = (await sweeping.served())[APEX]
    clock.now = NOW + 70 * DAY_MS
    await sweeping.region(applied=old.version)
    assert len((await sweeping.served())[APEX]) == 2
    [first, second] = (await sweeping.served())[APEX]
    assert (first, second.not_after > old.not_after) == (old, True)
    await sweeping.region(applied=second.version)
    assert (await sweeping.served())[APEX] == [second]


async def test_the_metrics_say_when_the_first_one_expires(api: RunningApi) -> None:
    """By the outcome of the last attempt, in seconds that go on running between two passes; no name is a label."""
    clock = Clock()
    sweeping = Sweeping(api, clock)
    sweeping.configure(Tls(), api_hostname="deploy.localhost")
    await sweeping.sweep()
    assert sweeping.figure("certificate_expiry_seconds", "ok") is None
    found = [one for [one] in (await sweeping.served()).values()]
    assert (sweeping.figure("certificates", "ok"), sweeping.figure("certificates", "missing")) == (2, 0)
    end = min(one.not_after for one in found)
    clock.now += DAY_MS
    assert sweeping.figure("certificate_expiry_seconds", "ok") == (end - clock.now) / 1000
    await api.db.write(
        lambda connection: queries.change_managed(connection, APEX, NOW, failed_at=clock.now, due_at=end + DAY_MS)
    )
    await sweeping.sweep()
    assert (sweeping.figure("certificates", "ok"), sweeping.figure("certificates", "failed")) == (1, 1)
    clock.now = end + 5000
    assert sweeping.figure("certificate_expiry_seconds", "failed") == -5
    await api.db.write(
        lambda connection: queries.change_managed(connection, APEX, NOW, certificate_id=None, due_at=clock.now)
    )
    await sweeping.sweep()
    assert (sweeping.figure("certificates", "missing"), sweeping.figure("certificates", "failed")) == (1, 0)
    assert sweeping.figure("certificate_expiry_seconds", "failed") is None


async def test_a_region_without_contact_holds_nothing_up(api: RunningApi) -> None:
    """It serves what it had; when it is back, it hears of the new one before it hears that the old one goes."""
    clock = Clock()
    sweeping = Sweeping(api, clock)
    [old] = (await sweeping.served())[APEX]
    await sweeping.region(applied=0)
    clock.now = NOW + 70 * DAY_MS
    await sweeping.served()
    [new] = (await sweeping.served())[APEX]
    assert new.id != old.id


async def test_what_is_wanted_no_more_goes(api: RunningApi) -> None:
    """At once, since its hostname leads nowhere."""
    sweeping = Sweeping(api, Clock())
    await sweeping.served()
    sweeping.configure(Tls(), apex_domain="apps.localhost")
    assert set(await sweeping.served()) == {"apps.localhost"}
    sweeping.configure(Tls(enabled=False))
    assert await sweeping.served() == {}
    assert await api.db.read(queries.managed) == []


async def test_a_clock_that_was_ahead_is_repaired(api: RunningApi) -> None:
    """A certificate that is not valid yet for anybody is replaced when the clock is set right."""
    clock = Clock()
    clock.now = NOW + 3000 * DAY_MS
    sweeping = Sweeping(api, clock)
    [wrong] = (await sweeping.served())[APEX]
    clock.now = NOW
    found = (await sweeping.served())[APEX]
    assert [one.not_before <= NOW for one in found if one.id != wrong.id] == [True]


async def test_a_thousand_domains_have_certificates_after_ten_passes(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No transaction is long: others write between them. The last pass finds nothing to do."""
    names = [f"{number:04}.example" for number in range(1000)]
    wanted = Wants(tuple(Wanted((name,), None, Issuer.LOCAL, ChallengeKind.NONE) for name in names))
    monkeypatch.setattr(module, "wants", lambda *_: wanted)
    sweeping = Sweeping(api, Clock())
    passes = 1
    while not await sweeping.sweep():
        passes += 1
    assert passes == 10
    found = await api.db.read(queries.every_certificate)
    assert sorted(one.name for one in found) == names
    assert await sweeping.sweep()


def managed(name: str, workspace_id: str | None, certificate_id: str | None = None) -> ManagedCertificate:
    """One that is due."""
    return ManagedCertificate(
        name=name, names_json=[name], workspace_id=workspace_id, issuer=Issuer.ACME, challenge=ChallengeKind.HTTP_01,
        certificate_id=certificate_id, due_at=NOW, failures=0, error_code=None, error_message=None, failed_at=None,
        renewal_info_at=None, created_at=NOW, updated_at=NOW,
    )  # fmt: skip


def test_many_names_of_one_workspace_hold_up_no_other() -> None:
    """Whose orders are under way waits for the others, though its names have no certificate and theirs have one."""
    rows = [managed(f"{number:03}.many.example", "ws_many") for number in range(300)]
    rows += [managed("a.few.example", "ws_few", "cert_a"), managed("b.few.example", "ws_few"), managed("own", None)]
    by_name = {row.name: row for row in rows}

    def first(count: int, *ordered: str) -> list[str]:
        return [row.name for row in State(by_name, {}, frozenset(ordered)).due(NOW)[:count]]

    assert first(5) == ["000.many.example", "b.few.example", "own", "001.many.example", "a.few.example"]
    assert first(2, "000.many.example") == ["b.few.example", "own"]
    assert first(3, "000.many.example", "b.few.example", "own") == [
        "001.many.example", "a.few.example", "002.many.example"
    ]  # fmt: skip


async def test_a_key_is_nowhere_in_clear(api: RunningApi, deploy: Deploy) -> None:
    """Neither in the database nor in a value that could be logged."""
    await Sweeping(api, Clock()).served()
    [found] = await api.db.read(queries.every_certificate)
    key = await api.db.read(queries.certificate_key, found.id)
    assert b"PRIVATE" not in key.key_sealed
    assert "PRIVATE" not in f"{found!r}{key!r}{replace(found, name='x')!r}"
