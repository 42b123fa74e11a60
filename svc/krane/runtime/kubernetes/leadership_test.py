"""Promise: of several kranes on a real API server one leads, another one takes over, and each knows of the others."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from lightkube.config.kubeconfig import KubeConfig

from pkg.ids import new_id
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S, KUBERNETES_WAIT_S
from svc.krane.runtime.kubernetes.election import LEASE_DURATION_S, RENEW_DEADLINE_S, RETRY_INTERVAL_S
from svc.krane.runtime.kubernetes.leadership import KubernetesReplicas, lease_name
from svc.krane.runtime.replicas import ReplicaContext

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

REGION = "eu"
NAMESPACE = "default"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """One of this module's own: its API server goes away."""
    with ControlPlane() as plane:
        yield plane


@dataclass
class Replica:
    """One krane's part: `has_contact` says whether the api answers it."""

    replicas: KubernetesReplicas
    task: asyncio.Task[None]
    terms: list[int | None] = field(default_factory=list)
    has_contact: bool = True
    lost_at: float = 0.0

    @property
    def last_contact(self) -> float:
        return time.monotonic() if self.has_contact else self.lost_at

    @property
    def term(self) -> int | None:
        return self.replicas.term

    def lose_contact(self) -> None:
        self.has_contact, self.lost_at = False, time.monotonic()

    async def kill(self) -> None:
        """As kill -9 does: nothing is given up."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def region(plane: ControlPlane) -> AsyncIterator[Callable[..., Replica]]:
    """Makes replicas of one region of a new installation."""
    config = KubeConfig.from_file(str(plane.kubeconfig)).get()
    assert config is not None
    installation_id, made = new_id("inst"), list[Replica]()

    def make(name: str = "") -> Replica:
        one: list[Replica] = []
        context = ReplicaContext(
            installation_id, name or new_id("inst"), lambda: one[0].has_contact, lambda: one[0].last_contact
        )
        replicas = KubernetesReplicas(config, NAMESPACE, REGION, context)
        one.append(Replica(replicas, asyncio.create_task(replicas.run())))
        made.append(one[0])
        return one[0]

    make.installation_id = installation_id  # type: ignore[attr-defined]
    try:
        yield make
    finally:
        for replica in made:
            await replica.kill()
            await replica.replicas.close()


async def until(condition: Callable[[], bool], timeout_s: float, *others: Replica) -> float:
    """Waits; seconds that it took. Never do two of `others` lead."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s, f"not within {timeout_s} s"
        assert sum(one.term is not None for one in others) <= 1
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_one_leads_and_another_takes_over(plane: ControlPlane) -> None:
    """A leader that is killed is replaced when its Lease has run out, one that stops with the next try."""
    async with region(plane) as make:
        first = make()
        await until(lambda: first.term == 1, KUBERNETES_WAIT_S)
        second, third = make(), make()
        await until(
            lambda: second.replicas.is_follower and third.replicas.is_follower, KUBERNETES_WAIT_S, first, second, third
        )
        assert not first.replicas.is_follower
        await first.kill()
        took = await until(lambda: {second.term, third.term} == {None, 2}, KUBERNETES_WAIT_S, second, third)
        assert took > LEASE_DURATION_S - RENEW_DEADLINE_S
        leader, other = (second, third) if second.term else (third, second)
        assert await leader.replicas.term_changed(None) == 2
        await leader.kill()
        await leader.replicas.close()
        assert leader.term is None
        await until(lambda: other.term == 3, KUBERNETES_WAIT_S)
        other.replicas.heard_of_term(9)
        await until(lambda: other.term == 10, KUBERNETES_WAIT_S)


async def test_nobody_leads_while_the_api_server_is_away(plane: ControlPlane) -> None:
    """A leader that can't renew stops before another one may begin; afterwards one leads again, with a higher term."""
    async with region(plane) as make:
        first = make()
        await until(lambda: first.term == 1, KUBERNETES_WAIT_S)
        second = make()
        await until(lambda: second.replicas.is_follower, KUBERNETES_WAIT_S)
        with plane.apiserver.paused():
            took = await until(lambda: first.term is None, KUBERNETES_WAIT_S, first, second)
            assert took > RENEW_DEADLINE_S - RETRY_INTERVAL_S - 1
            await until(lambda: not first.replicas.is_announced, KUBERNETES_WAIT_S)
            assert second.term is None
        await until(lambda: {first.term, second.term} == {None, 2}, KUBERNETES_WAIT_S, first, second)


async def test_the_only_replica_leads_again_after_the_api_server_was_away(plane: ControlPlane) -> None:
    """Without a restart, and with a higher term."""
    async with region(plane) as make:
        only = make()
        await until(lambda: only.term == 1, KUBERNETES_WAIT_S)
        with plane.apiserver.paused():
            await until(lambda: only.term is None, KUBERNETES_WAIT_S)
        await until(lambda: only.term == 2, KUBERNETES_WAIT_S)


async def test_clocks_that_are_wrong_by_years_change_nothing(plane: ControlPlane) -> None:
    """A holder that goes on renewing keeps its Lease, whatever its clock says and however that jumps; once it is silent
    another one leads in the usual time.
    """
    async with region(plane) as make:
        first = make()
        await until(lambda: first.term == 1, KUBERNETES_WAIT_S)
        await first.kill()
        name = lease_name(make.installation_id, REGION)  # type: ignore[attr-defined]
        other = make()
        renewals = 0

        async def renew(year: int) -> None:
            nonlocal renewals
            renewals += 1
            spec = {"holderIdentity": "skewed", "renewTime": f"{year}-01-01T00:00:{renewals:02}.000000Z"}
            patch = json.dumps({"spec": {**spec, "leaseDurationSeconds": 15, "leaseTransitions": 7}})
            await asyncio.to_thread(plane.kubectl, "patch", "lease", name, "-n", NAMESPACE, "--type=merge", "-p", patch)

        began = time.monotonic()
        while time.monotonic() - began < LEASE_DURATION_S + 2 * RETRY_INTERVAL_S:
            for year in (1970, 2199, 2026, 2025):
                await renew(year)
                assert other.term is None
                await asyncio.sleep(1)
        took = await until(lambda: other.term == 9, KUBERNETES_WAIT_S)
        assert took > LEASE_DURATION_S - 2 * RETRY_INTERVAL_S


async def test_who_lost_the_api_learns_whether_others_have(plane: ControlPlane) -> None:
    """While it has gone for all, nobody is seen; a leader that is alone in that makes room."""
    async with region(plane) as make:
        first = make()
        await until(lambda: first.term == 1, KUBERNETES_WAIT_S)
        second = make()
        await until(lambda: first.replicas.is_announced and second.replicas.is_announced, KUBERNETES_WAIT_S)
        for one in (first, second):
            one.lose_contact()
        await until(lambda: not (first.replicas.is_announced or second.replicas.is_announced), KUBERNETES_WAIT_S)
        assert not first.replicas.seen_since(first.lost_at)
        assert not second.replicas.seen_since(second.lost_at)
        assert first.term == 1
        second.has_contact = True
        again = time.monotonic()
        await until(lambda: first.replicas.seen_since(again), KUBERNETES_WAIT_S)
        await until(lambda: second.term == 2, KUBERNETES_WAIT_S, first, second)
        assert not second.replicas.seen_since(again)


async def test_a_lease_of_somebody_else_is_left_alone(plane: ControlPlane) -> None:
    """Without exactly our labels it is not ours: nobody leads, and the Lease stays as it was."""
    async with region(plane) as make:
        name = lease_name(make.installation_id, REGION)  # type: ignore[attr-defined]
        plane.apply({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 1},
        })  # fmt: skip
        before = plane.get("lease", name, "-n", NAMESPACE)
        one = make()
        await until(lambda: one.replicas.is_announced, KUBERNETES_WAIT_S)
        assert one.term is None
        assert plane.get("lease", name, "-n", NAMESPACE) == before
