"""Promise: one of two kranes may die, hang or lose its way, and no request through the other one fails."""

import asyncio
import logging
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pkg.clock import now_ms
from pkg.regions import krane_replicas
from pkg.regions import queries as regions
from pkg.regions.votes import VOTE_EXPIRES_MS
from pkg.routes import queries as routes
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.kubernetes.fixtures import kubernetes_plane  # noqa: F401
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S, KUBERNETES_WAIT_S
from svc.api.testing import REGION
from tests.harness.load import Load
from tests.integration.two_kranes import HOSTNAME, Pod, Region, answers, eventually, two_kranes

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

log = logging.getLogger(__name__)


@pytest.fixture
async def region(kubernetes_plane: ControlPlane) -> AsyncIterator[Region]:  # noqa: F811
    with tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as name:
        async with two_kranes(Path(name), kubernetes_plane) as region:
            yield region


async def test_killing_the_leader_loses_no_request_through_the_other(region: Region) -> None:
    """A switch under way is finished by the other one; old instances stay until the dead one's vote has expired."""
    leader, other = await region.leader()
    with Load(other.url, rate_per_s=100, max_s=90) as load:
        leader.kill()
        killed = time.monotonic()
        version = await region.switch()
        await region.api.db.write(regions.stop, region.live, now_ms())
        served = await eventually(
            lambda: answers(other, region.next), "the other Envoy has switched", KUBERNETES_WAIT_S
        )

        await eventually(other.leads, "the other one leads", KUBERNETES_WAIT_S)
        takeover = time.monotonic() - killed

        async def is_applied() -> bool:
            applied = await region.is_applied(version)
            if not applied:
                assert await region.pods_of(region.live), "an instance that the dead Envoy may use has gone"
            return applied

        await eventually(is_applied, "the vote expires", KUBERNETES_WAIT_S)
        applied_after = time.monotonic() - killed

        async def has_gone() -> bool:
            return not await region.pods_of(region.live)

        await eventually(has_gone, "the old instance goes", KUBERNETES_WAIT_S)
    assert load.failures == []
    assert load.total > 1000
    assert applied_after > VOTE_EXPIRES_MS / 1000 - 5, "its last heartbeat was moments before"
    found = await region.api.db.read(regions.instances_of, region.next)
    assert [one.state for one in found] == ["healthy"]
    log.info(
        "takeover %.1f s, switched %.1f s, applied %.1f s, %d requests", takeover, served, applied_after, load.total
    )


async def test_replacing_a_replica_delays_no_deploy(region: Region) -> None:
    """As a rolling update does: a third one comes, the leader leaves in good order. Another one leads at once, and a
    change is applied as fast as always, while the old Envoy drains and after it has ended.
    """
    leader, other = await region.leader()
    usual = await applied_within(region)
    third = await region.add("c")
    await eventually(third.is_ready, "the third one is ready", KUBERNETES_WAIT_S)
    assert await counted(region) == 3
    took: dict[str, float] = {}
    has_drained = asyncio.Event()
    loop = asyncio.get_running_loop()
    leaving = Load(leader.url, rate_per_s=50, max_s=60)
    with Load(other.url, rate_per_s=50, max_s=90) as load, Load(third.url, rate_per_s=50, max_s=90) as another:
        leaving.__enter__()

        def meanwhile() -> None:
            leaving.__exit__(None, None, None)
            loop.call_soon_threadsafe(has_drained.set)

        began = time.monotonic()
        ending = asyncio.create_task(asyncio.to_thread(leader.end, 6.0, meanwhile))

        async def one_leads() -> bool:
            return await other.leads() or await third.leads()

        took["led"] = await eventually(one_leads, "another one leads", KUBERNETES_WAIT_S)
        took["draining"] = await applied_within(region)
        assert not has_drained.is_set(), "that was while the old Envoy still served"
        await ending
        took["ended"] = time.monotonic() - began
        took["after"] = await applied_within(region)
    log.info("usually applied within %.2f s; %s", usual, took)
    for seen in (leaving, load, another):
        assert seen.failures == []
        assert seen.total > 100
    assert await counted(region) == 2
    assert took["led"] < 5
    assert max(took["draining"], took["after"]) < usual + 3


async def test_a_krane_that_is_stopped_alone_keeps_its_vote(region: Region) -> None:
    """Its Envoy goes on with what it has: the leadership is given up, the vote is not."""
    leader, other = await region.leader()
    assert leader.krane is not None
    leader.krane.terminate()
    led = await eventually(other.leads, "the other one leads", KUBERNETES_WAIT_S)
    assert await asyncio.to_thread(leader.krane.wait, 15) == 0
    assert led < 5
    assert await counted(region) == 2
    version = await region.switch()
    await eventually(lambda: answers(other, region.next), "the other Envoy has switched", KUBERNETES_WAIT_S)
    assert not await region.is_applied(version), "the Envoy of the stopped krane still has the old route"
    leader.start()
    await eventually(lambda: region.is_applied(version), "every Envoy has it", KUBERNETES_WAIT_S)


async def test_a_replica_that_comes_back_serves_once_it_has_caught_up(region: Region) -> None:
    """krane dies alone, Envoy stays: its vote stays too, and the next krane of the same state directory has it."""
    leader, other = await region.leader()
    before = {one.replica_id for one in await region.api.db.read(krane_replicas.of_region, REGION)}
    assert leader.krane is not None
    leader.krane.kill()
    leader.krane.wait()
    version = await region.switch()
    await eventually(lambda: answers(other, region.next), "the other Envoy has switched", KUBERNETES_WAIT_S)
    assert not await region.is_applied(version), "the Envoy of the dead krane still has the old route"
    assert await answers(leader, region.live)
    leader.start()
    await eventually(lambda: answers(leader, region.next), "it has caught up", KUBERNETES_WAIT_S)
    await eventually(leader.is_ready, "it is ready", KUBERNETES_WAIT_S)
    await eventually(lambda: region.is_applied(version), "every Envoy has it", KUBERNETES_WAIT_S)
    after = await region.api.db.read(krane_replicas.of_region, REGION)
    assert {one.replica_id for one in after if one.is_counted} == before
    route = await region.api.db.read(routes.get, HOSTNAME)
    assert route is not None
    assert route.deployment_id == region.next


async def test_a_slow_envoy_holds_the_instances_that_it_still_uses(region: Region) -> None:
    """One Envoy hangs before it has taken the new route: the old instance stays until it has, and then goes."""
    leader, other = await region.leader()
    assert other.envoy is not None
    other.envoy.send_signal(signal.SIGSTOP)
    version = await region.switch()
    await region.api.db.write(regions.stop, region.live, now_ms())
    await eventually(lambda: answers(leader, region.next), "the leader's Envoy has switched", KUBERNETES_WAIT_S)
    for _ in range(30):
        assert await region.pods_of(region.live)
        assert not await region.is_applied(version)
        await asyncio.sleep(0.1)
    other.envoy.send_signal(signal.SIGCONT)
    await eventually(lambda: region.is_applied(version), "every Envoy has it", KUBERNETES_WAIT_S)

    async def has_gone() -> bool:
        return not await region.pods_of(region.live)

    await eventually(has_gone, "the old instance goes", KUBERNETES_WAIT_S)
    assert await answers(other, region.next)


async def test_a_replica_that_loses_the_api_leaves_service_before_its_vote_expires(region: Region) -> None:
    """It was the leader: the other one leads. Once it has the api again it catches up and serves."""
    cut_off, other = await region.leader()
    with Load(other.url, rate_per_s=50, max_s=90) as load:
        cut_off.link.cut()
        began = time.monotonic()
        await eventually(lambda: is_out(cut_off), "it is out of service", KUBERNETES_WAIT_S)
        left = time.monotonic() - began
        assert await counted(region) == 2, "its vote still counts"
        assert await other.is_ready()

        async def has_expired() -> bool:
            return await counted(region) == 1

        await eventually(has_expired, "its vote expires", KUBERNETES_WAIT_S)
        expired = time.monotonic() - began

        await eventually(other.leads, "the other one leads", KUBERNETES_WAIT_S)
        cut_off.link.join()
        await eventually(cut_off.is_ready, "it serves again", KUBERNETES_WAIT_S)
        assert await counted(region) == 2
    assert load.failures == []
    log.info("out of service after %.1f s, its vote expired after %.1f s", left, expired)
    assert expired - left > 5, "less than probes and load balancers take"


async def test_while_the_api_is_away_for_all_everyone_serves(region: Region) -> None:
    """Nobody is taken for the only one without contact, and nobody loses its vote."""
    for pod in (region.first, region.second):
        pod.link.cut()
    end = time.monotonic() + KUBERNETES_WAIT_S
    while time.monotonic() < end:
        for pod in (region.first, region.second):
            assert await pod.is_ready()
            assert await answers(pod, region.live)
        await asyncio.sleep(0.5)
    assert not (await region.first.roles())["in_contact"]
    for pod in (region.first, region.second):
        pod.link.join()

    async def are_in_contact() -> bool:
        return all([(await pod.roles()).get("in_contact") for pod in (region.first, region.second)])

    await eventually(are_in_contact, "both have contact", KUBERNETES_WAIT_S)
    assert await counted(region) == 2
    version = await region.switch()
    await eventually(lambda: region.is_applied(version), "every Envoy has it", KUBERNETES_WAIT_S)


async def is_out(pod: Pod) -> bool:
    """Whether it is not ready."""
    return not await pod.is_ready()


async def applied_within(region: Region) -> float:
    """Changes the route; seconds until every counted Envoy has it."""
    version = await region.switch()
    return await eventually(lambda: region.is_applied(version), "every Envoy has it", KUBERNETES_WAIT_S)


async def counted(region: Region) -> int:
    """How many replicas have a vote."""
    return sum(one.is_counted for one in await region.api.db.read(krane_replicas.of_region, REGION))
