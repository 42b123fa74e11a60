"""The checks of domains in a whole api, against a DNS server on loopback."""

from collections.abc import AsyncIterator
from pathlib import Path

import dns.rcode
import msgspec
import pytest
from sqlalchemy import Connection, select

from pkg.clock import now_ms
from pkg.domains import queries, rules
from pkg.domains.names import parse_domain
from pkg.domains.tables import domains
from pkg.domains.testing import DnsServer, dns_server
from pkg.routes import queries as routes
from pkg.testing.sample_project import add_sample_project
from sealift.ctrl.v1 import domain_pb2 as pb
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready
from svc.api.testing import RecordingRestate, RunningApi, config_in, eventually, running_api

WWW = "www.shop.test"


@pytest.fixture
async def zone() -> AsyncIterator[DnsServer]:
    async with dns_server() as server:
        yield server


@pytest.fixture
async def api(tmp_path: Path, restate: RecordingRestate, zone: DnsServer) -> AsyncIterator[RunningApi]:
    config = msgspec.structs.replace(config_in(tmp_path, restate.url), domains=zone.config)
    async with running_api(config) as one:
        yield one


@pytest.fixture
async def production(api: RunningApi, deploy: Deploy) -> str:
    made = await deploy()
    await api.db.write(make_ready, made.deployment_id, hostname="hello.sealift.localhost")
    return str(made.environment_id)


async def add(api: RunningApi, environment_id: str, hostname: str = WWW) -> pb.Domain:
    answer = await api.admin.domain.AddDomain(pb.AddDomainRequest(environment_id=environment_id, hostname=hostname))
    made: pb.Domain = answer.domain
    return made


async def checked(api: RunningApi, domain_id: str, after: int = 0) -> pb.Domain:
    """The domain after a check that ended later than `after`."""
    found: list[pb.Domain] = []

    async def is_checked() -> bool:
        found[:] = [(await api.admin.domain.GetDomain(pb.GetDomainRequest(domain_id=domain_id))).domain]
        return found[0].checked_at > after

    await eventually(is_checked, "DNS is asked")
    return found[0]


async def verify(api: RunningApi, domain: pb.Domain) -> pb.Domain:
    await api.admin.domain.VerifyDomain(pb.VerifyDomainRequest(domain_id=domain.domain_id))
    return await checked(api, domain.domain_id, domain.checked_at)


def set_records(zone: DnsServer, domain: pb.Domain) -> None:
    for record in domain.records:
        zone.set(record.name, record.type, *(f"{v}." if record.type == "CNAME" else v for v in record.wanted))


async def test_a_domain_becomes_active_and_stays_so(api: RunningApi, zone: DnsServer, production: str) -> None:
    """Promise: what is missing is told, the route comes with the proof, and no later answer of DNS takes it."""
    made = await add(api, production)
    pending = await checked(api, made.domain_id)
    assert (pending.status, pending.deployment_id) == (pb.DOMAIN_STATUS_PENDING, "")
    assert f"There is no TXT record _sealift-challenge.{WWW}." in pending.reason
    assert 0 < pending.next_check_at - now_ms() <= rules.SOONEST_CHECK_MS
    set_records(zone, pending)
    active = await verify(api, pending)
    assert (active.status, active.reason) == (pb.DOMAIN_STATUS_ACTIVE, "")
    assert active.deployment_id.startswith("dep_")
    assert active.verified_at > 0
    assert await api.db.read(routes.get, WWW) is not None
    zone.set(WWW, "CNAME")
    zone.set(WWW, "A", "198.51.100.1")
    zone.set(f"_sealift-challenge.{WWW}", "TXT")
    elsewhere = await verify(api, active)
    assert elsewhere.status == pb.DOMAIN_STATUS_ACTIVE
    assert f"A {WWW} leads elsewhere (198.51.100.1)" in elsewhere.reason
    assert await api.db.read(routes.get, WWW) is not None
    assert rules.SOONEST_CHECK_MS < elsewhere.next_check_at - now_ms() <= rules.SOONEST_ACTIVE_CHECK_MS


async def test_records_that_were_set_before_take_no_time(api: RunningApi, zone: DnsServer, production: str) -> None:
    """Promise: the first check follows the call at once."""
    first = await add(api, production)
    await api.admin.domain.RemoveDomain(pb.RemoveDomainRequest(domain_id=first.domain_id))
    set_records(zone, first)
    again = await add(api, production)
    assert (await checked(api, again.domain_id)).status == pb.DOMAIN_STATUS_ACTIVE


async def test_the_schedule_survives_a_restart(tmp_path: Path, restate: RecordingRestate, zone: DnsServer) -> None:
    """Promise: another api, which knows nothing of the call, asks when the row says so."""
    config = msgspec.structs.replace(config_in(tmp_path, restate.url), domains=zone.config)
    async with running_api(config) as one:
        sample = await one.db.write(add_sample_project)
        made = await checked(one, (await add(one, sample.production_id)).domain_id)
    set_records(zone, made)
    async with running_api(config) as another:
        assert (await checked(another, made.domain_id, made.checked_at)).status == pb.DOMAIN_STATUS_ACTIVE


async def test_dns_that_fails_changes_nothing(api: RunningApi, zone: DnsServer, production: str) -> None:
    """Promise: SERVFAIL is told and asked again; it proves nothing, and disproves nothing."""
    made = await checked(api, (await add(api, production)).domain_id)
    set_records(zone, made)
    zone.rcodes[f"_sealift-challenge.{WWW}"] = dns.rcode.SERVFAIL
    failing = await verify(api, made)
    assert failing.status == pb.DOMAIN_STATUS_PENDING
    assert "SERVFAIL" in failing.reason
    zone.rcodes.clear()
    assert (await verify(api, failing)).status == pb.DOMAIN_STATUS_ACTIVE


async def test_a_thousand_names_at_once(api: RunningApi, zone: DnsServer, production: str) -> None:
    """Promise: all are checked, within bounds, while the api answers; one that was added after them does not wait."""

    def add_many(connection: Connection) -> None:
        environment = connection.execute(select(domains.c.environment_id)).first()
        assert environment is None
        sample = add_sample_project(connection, "many")
        for number in range(1000):
            queries.add(
                connection,
                workspace_id=sample.workspace_id,
                project_id=sample.project_id,
                environment_id=sample.production_id,
                name=parse_domain(f"n{number}.many.test"),
                token="t",
                now=now_ms(),
            )

    await api.db.write(add_many)
    made = await checked(api, (await add(api, production)).domain_id)
    assert made.reason

    async def all_checked() -> bool:
        query = select(domains.c.id).where(domains.c.checked_at.is_(None)).limit(1)
        return await api.db.read(lambda c: c.execute(query).first()) is None

    await eventually(all_checked, "all are checked", timeout_s=90.0)
