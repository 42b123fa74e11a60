"""DomainService over real calls: what is refused, what another workspace sees, what is removed with what."""

from typing import Any

import grpc
import pytest
from grpc import aio

from pkg.auth import Role
from pkg.clock import now_ms
from pkg.domains import queries, rules
from pkg.keys import queries as keys
from pkg.keys.rules import new_key
from pkg.routes import domains as domain_routes
from pkg.routes import queries as routes
from pkg.testing.sample_project import SampleProject, add_sample_project
from sealift.ctrl.v1 import cluster_pb2, domain_pb2, project_pb2
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready
from svc.api.testing import REGION, RunningApi, Stubs, channel_with, refused

WWW = "www.example.net"


async def add(stubs: Stubs, environment_id: str, hostname: str = WWW) -> domain_pb2.Domain:
    request = domain_pb2.AddDomainRequest(environment_id=environment_id, hostname=hostname)
    made: domain_pb2.Domain = (await stubs.domain.AddDomain(request)).domain
    return made


async def get(stubs: Stubs, **ref: str) -> domain_pb2.Domain:
    found: domain_pb2.Domain = (await stubs.domain.GetDomain(domain_pb2.GetDomainRequest(**ref))).domain
    return found


async def listed(stubs: Stubs, project_id: str, **more: Any) -> list[str]:
    answer = await stubs.domain.ListDomains(domain_pb2.ListDomainsRequest(project_id=project_id, **more))
    return [one.hostname for one in answer.domains]


async def activate(api: RunningApi, domain_id: str) -> None:
    """As a check of DNS does it."""

    def run(connection: Any) -> None:
        domain = queries.get(connection, domain_id)
        assert domain is not None
        assert domain_routes.activate(connection, domain, "hello.sealift.localhost", now_ms()).conflict == ""

    await api.db.write(run)


class Elsewhere:
    """Another workspace with a project, and a key of its own."""

    def __init__(self, sample: SampleProject, stubs: Stubs) -> None:
        self.sample = sample
        self.stubs = stubs


@pytest.fixture
async def elsewhere(api: RunningApi) -> Any:
    secret = new_key()

    def make(connection: Any) -> SampleProject:
        sample = add_sample_project(connection, "theirs", workspace="other")
        keys.add(
            connection, secret=secret, workspace_id=sample.workspace_id, name="theirs", role=Role.DEPLOY, region=None,
            expires_at=None, now=now_ms(),
        )  # fmt: skip
        return sample

    sample = await api.db.write(make)
    channel = channel_with(api.grpc, secret)
    yield Elsewhere(sample, Stubs(channel))
    await channel.close()


@pytest.fixture
async def production(api: RunningApi, project: project_pb2.Project, deploy: Deploy) -> str:
    made = await deploy()
    await api.db.write(make_ready, made.deployment_id, hostname="hello.sealift.localhost")
    return str(made.environment_id)


async def test_the_records_to_set_are_told(api: RunningApi, production: str) -> None:
    """Promise: the answer says what to set, before anything was asked; adding it again changes nothing."""
    made = await add(api.admin, production, "WWW.Bücher.example.")
    assert (made.hostname, made.unicode_hostname) == ("www.xn--bcher-kva.example", "www.bücher.example")
    assert (made.status, made.url) == (
        domain_pb2.DOMAIN_STATUS_PENDING, "http://www.xn--bcher-kva.example:7480",
    )  # fmt: skip
    assert (made.environment_slug, made.deployment_id) == ("production", "")
    ownership, target = made.records
    assert (ownership.type, ownership.name) == ("TXT", "_sealift-challenge.www.xn--bcher-kva.example")
    assert (target.type, target.name, list(target.wanted)) == (
        "CNAME", "www.xn--bcher-kva.example", ["hello.sealift.localhost"],
    )  # fmt: skip
    again = await add(api.admin, production, "www.xn--bcher-kva.example")
    assert again.domain_id == made.domain_id
    apex = await add(api.admin, production, "example.net")
    assert [record.type for record in apex.records] == ["TXT", "A"]


async def test_a_domain_has_one_place(api: RunningApi, project: project_pb2.Project, production: str) -> None:
    """Promise: another environment of the workspace can't take it; the refusal says where it is."""
    made = await add(api.admin, production)
    sample = await api.db.write(add_sample_project, "second")
    with pytest.raises(aio.AioRpcError) as taken:
        await add(api.admin, sample.production_id)
    status, code, field, message = refused(taken.value)
    assert (status, code, field) == (grpc.StatusCode.ALREADY_EXISTS, "domain.taken", "hostname")
    assert f"environment production ({production})" in message
    await api.admin.domain.RemoveDomain(domain_pb2.RemoveDomainRequest(domain_id=made.domain_id))
    moved = await add(api.admin, sample.production_id)
    assert moved.records[0].wanted == made.records[0].wanted, "the record of before proves it again"


@pytest.mark.parametrize(
    ("hostname", "code"),
    [
        ("https://www.example.net", "invalid_argument"),
        ("co.uk", "invalid_argument"),
        ("hello.sealift.localhost", "domain.reserved"),
        ("sealift.localhost", "domain.reserved"),
    ],
)
async def test_bad_names_leave_nothing(
    api: RunningApi, project: project_pb2.Project, production: str, hostname: str, code: str
) -> None:
    """Promise: a name that is refused leaves no row."""
    with pytest.raises(aio.AioRpcError) as wrong:
        await add(api.admin, production, hostname)
    assert refused(wrong.value)[:3] == (grpc.StatusCode.INVALID_ARGUMENT, code, "hostname")
    assert await listed(api.admin, project.project_id) == []


async def test_another_workspace_sees_and_changes_nothing(
    api: RunningApi, project: project_pb2.Project, production: str, elsewhere: Elsewhere
) -> None:
    """Promise: with ids of another workspace every method answers as if there were none."""
    made = await add(api.admin, production)
    await activate(api, made.domain_id)
    theirs = elsewhere.stubs.domain
    calls = [
        theirs.AddDomain(domain_pb2.AddDomainRequest(environment_id=production, hostname="a.example.net")),
        theirs.ListDomains(domain_pb2.ListDomainsRequest(project_id=project.project_id)),
        theirs.GetDomain(domain_pb2.GetDomainRequest(domain_id=made.domain_id)),
        theirs.GetDomain(domain_pb2.GetDomainRequest(hostname=WWW)),
        theirs.VerifyDomain(domain_pb2.VerifyDomainRequest(domain_id=made.domain_id)),
        theirs.RemoveDomain(domain_pb2.RemoveDomainRequest(domain_id=made.domain_id)),
    ]
    for call in calls:
        with pytest.raises(aio.AioRpcError) as wrong:
            await call
        assert wrong.value.code() is grpc.StatusCode.NOT_FOUND
    assert (await get(api.admin, domain_id=made.domain_id)).status == domain_pb2.DOMAIN_STATUS_ACTIVE
    assert await listed(elsewhere.stubs, elsewhere.sample.project_id, environment_id=production) == []


async def test_what_another_workspace_holds_cannot_be_claimed(
    api: RunningApi, production: str, elsewhere: Elsewhere
) -> None:
    """Promise: not while its record is in the zone, and never a name that would share its requests."""
    made = await add(api.admin, production)
    claim = await add(elsewhere.stubs, elsewhere.sample.production_id)
    assert claim.records[0].wanted != made.records[0].wanted, "another workspace needs another record"
    await elsewhere.stubs.domain.RemoveDomain(domain_pb2.RemoveDomainRequest(domain_id=claim.domain_id))
    await activate(api, made.domain_id)
    await api.db.write(lambda c: c.exec_driver_sql("UPDATE domains SET is_owned = 1"))
    for hostname in (WWW, "*.example.net"):
        with pytest.raises(aio.AioRpcError) as taken:
            await add(elsewhere.stubs, elsewhere.sample.production_id, hostname)
        assert refused(taken.value)[:3] == (grpc.StatusCode.ALREADY_EXISTS, "domain.taken", "hostname")
        assert hostname == WWW or WWW not in refused(taken.value)[3], "what others hold is told to nobody"
    await api.db.write(
        lambda c: c.exec_driver_sql("UPDATE domains SET checked_at = 1, next_check_at = 9000000000000, is_owned = 1")
    )
    with pytest.raises(aio.AioRpcError):
        await add(elsewhere.stubs, elsewhere.sample.production_id)
    hastened = await get(api.admin, domain_id=made.domain_id)
    assert hastened.next_check_at < 9_000_000_000_000, "the attempt has DNS asked whether the holder still proves it"
    await api.db.write(lambda c: c.exec_driver_sql("UPDATE domains SET is_owned = 0"))
    await add(elsewhere.stubs, elsewhere.sample.production_id)


async def test_active_it_answers_and_removed_it_does_not(
    api: RunningApi, project: project_pb2.Project, production: str
) -> None:
    """Promise: the route comes and goes with the domain, and is first among the addresses of what is live."""
    made = await add(api.admin, production)
    await activate(api, made.domain_id)
    found = await get(api.admin, hostname=WWW.upper())
    assert (found.status, found.deployment_id.startswith("dep_")) == (domain_pb2.DOMAIN_STATUS_ACTIVE, True)
    assert found.verified_at > 0
    route = await api.db.read(routes.get, WWW)
    assert route is not None
    assert (await api.db.read(routes.of_deployment, route.deployment_id))[0].hostname == WWW
    answer = await api.admin.domain.ListDomains(domain_pb2.ListDomainsRequest(project_id=project.project_id))
    [same] = answer.domains  # a check may have come in between, and changes times and reasons
    assert (same.domain_id, same.url, same.deployment_id) == (made.domain_id, found.url, found.deployment_id)
    await api.admin.domain.RemoveDomain(domain_pb2.RemoveDomainRequest(domain_id=made.domain_id))
    assert await api.db.read(routes.get, WWW) is None
    assert await listed(api.admin, project.project_id) == []


async def test_asking_again_makes_the_check_due(api: RunningApi, production: str) -> None:
    """Promise: VerifyDomain has DNS asked soon, also about a domain that is asked about no more."""
    made = await add(api.admin, production)
    await api.db.write(lambda c: c.exec_driver_sql("UPDATE domains SET next_check_at = NULL, checking_since = 0"))
    before = now_ms()
    again = await api.admin.domain.VerifyDomain(domain_pb2.VerifyDomainRequest(domain_id=made.domain_id))
    assert again.domain.next_check_at >= before


async def test_there_is_a_limit(api: RunningApi, project: project_pb2.Project, production: str) -> None:
    """Promise: the one domain too many is refused with the limit; pages reach all others."""
    for number in range(rules.MAX_PER_ENVIRONMENT):
        await add(api.admin, production, f"a{number:03}.example.net")
    with pytest.raises(aio.AioRpcError) as full:
        await add(api.admin, production, "one-more.example.net")
    assert refused(full.value)[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "domain.too_many")
    seen: list[str] = []
    token = ""
    while True:
        answer = await api.admin.domain.ListDomains(
            domain_pb2.ListDomainsRequest(project_id=project.project_id, page_size=70, page_token=token)
        )
        seen += [one.hostname for one in answer.domains]
        token = answer.next_page_token
        if not token:
            break
    assert seen == [f"a{number:03}.example.net" for number in range(rules.MAX_PER_ENVIRONMENT)]


async def test_a_wildcard_needs_a_region_that_serves_it(api: RunningApi, production: str) -> None:
    """Promise: an older krane, which would leave the route out, is named before anything is recorded."""

    async def register(*capabilities: str) -> None:
        await api.krane.cluster.Register(
            cluster_pb2.RegisterRequest(
                region=REGION,
                instance_id="inst-1",
                version="1",
                runtime="docker",
                engine="e",
                capabilities=capabilities,
            )
        )

    await register()
    with pytest.raises(aio.AioRpcError) as old:
        await add(api.admin, production, "*.example.net")
    assert refused(old.value)[1] == "region.capability_missing"
    await register("feed.topology/1", "feed.route/1", "route.wildcards/1")
    made = await add(api.admin, production, "*.example.net")
    await activate(api, made.domain_id)
    assert (await get(api.admin, hostname="*.example.net")).status == domain_pb2.DOMAIN_STATUS_ACTIVE
