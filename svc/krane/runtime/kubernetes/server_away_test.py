"""An API server that is slow, busy or away, and a node that is lost: instances are made once, and stay."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pkg.errors import Unavailable
from pkg.testing.kubernetes.api_front import ApiFront, too_many_requests
from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S, KUBERNETES_WAIT_S
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.runtime.contract import ask, eventually, running, until_status
from svc.krane.runtime.kubernetes import cache, endings
from svc.krane.runtime.port import InstanceStatus, PendingError
from svc.krane.testing.kubernetes import KubernetesRig, opened

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY


@pytest.fixture(scope="module")
def own_plane() -> Iterator[ControlPlane]:
    """One whose API server is killed and whose nodes are lost."""
    with ControlPlane() as plane:
        plane.add_fake_node()
        yield plane


@pytest.fixture
async def own_rig(own_plane: ControlPlane) -> AsyncIterator[KubernetesRig]:
    async with opened(KubernetesRig(own_plane)) as rig:
        yield rig


async def test_a_slow_and_a_busy_server(own_plane: ControlPlane) -> None:
    """Promise: with 2 s for each call, and with 429 for some, an instance is made; nothing is doubled."""
    with ApiFront(own_plane) as front:
        rig = KubernetesRig(own_plane)
        try:
            front.delay_s = 2
            slow = rig.make(kubeconfig=front.kubeconfig)
            await slow.open()
            spec = rig.spec()
            await slow.apply(spec, 0, None, is_live=False)
            first = await until_status(slow, spec, InstanceStatus.RUNNING)
            front.delay_s = 0
            refusals = 0

            def busy(method: str, path: str) -> Any:
                nonlocal refusals
                if method in ("POST", "PATCH") and refusals < 5:
                    refusals += 1
                    return too_many_requests(1)
                return None

            front.fault = busy
            other = rig.spec()

            async def made() -> bool | None:
                try:
                    await slow.apply(other, 0, None, is_live=False)
                except Unavailable:
                    return None
                return True

            await eventually(made)
            assert refusals == 5
            assert (await until_status(slow, spec, InstanceStatus.RUNNING)).uid == first.uid
            assert len(await slow.list_instances()) == 2
        finally:
            await rig.close()


async def test_a_server_that_is_away(own_rig: KubernetesRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: while the API server is away the region says so, and nobody takes an old list for what there is; what
    happened meanwhile is known once it is back."""
    monkeypatch.setattr(cache, "STALE_S", 1.0)
    spec = own_rig.spec()
    seen = await running(own_rig.runtime, spec)
    own_rig.plane.apiserver.kill()
    assert await own_rig.runtime.check() != ""

    async def is_away() -> bool | None:
        try:
            await own_rig.runtime.observe(spec.deployment_id, 0)
        except Unavailable:
            return True
        return None

    await eventually(is_away)
    with pytest.raises(Unavailable):
        await own_rig.runtime.apply(spec, 0, seen, is_live=True)
    assert await ask(seen, spec) == 200  # what runs goes on
    own_rig.plane.apiserver.start()
    await asyncio.to_thread(own_rig.plane.wait_until_ready)
    own_rig.plane.kubectl("delete", "pod", seen.name, "-n", own_rig.namespace, "--grace-period=1")

    async def is_another() -> bool | None:
        try:
            now = await own_rig.runtime.observe(spec.deployment_id, 0)
        except Unavailable:
            return None
        return (now is not None and now.uid != seen.uid) or None

    await eventually(is_another)
    assert await own_rig.runtime.check() == ""


async def test_a_lost_node(own_rig: KubernetesRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: an instance whose node is gone is replaced elsewhere, without a person, although its Pod never says
    that it has ended."""
    monkeypatch.setattr(endings, "NODE_LOST_AFTER_S", 2.0)
    own_rig.plane.kubectl("cordon", "fake")
    node = own_rig.plane.add_fake_node("far")
    spec = own_rig.spec()
    try:
        seen = await running(own_rig.runtime, spec)
    finally:
        own_rig.plane.kubectl("uncordon", "fake")
    node.lose()
    own_rig.plane.kubectl("delete", "pod", seen.name, "-n", own_rig.namespace, "--grace-period=1", "--wait=false")

    async def is_replaced() -> bool | None:
        try:
            now = await own_rig.runtime.apply(spec, 0, None, is_live=True)
        except (PendingError, Unavailable):
            return None
        return now.uid != seen.uid or None

    async with asyncio.timeout(KUBERNETES_WAIT_S):
        while await is_replaced() is None:  # noqa: ASYNC110 - the node is declared lost after some seconds
            await asyncio.sleep(0.5)
    assert len(await own_rig.runtime.list_instances(spec.deployment_id)) == 1
