"""The list-watch loop, on a real API server that dies, forgets and falls silent."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import pytest
from lightkube.resources.core_v1 import Pod as PodKind

from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.wait import KUBERNETES_TEST_TIMEOUT_S
from svc.krane.runtime.contract import eventually
from svc.krane.runtime.kubernetes import reflector
from svc.krane.runtime.kubernetes.api import KubeApi
from svc.krane.runtime.kubernetes.reflector import Reflector
from svc.krane.runtime.kubernetes.wire import Pod
from svc.krane.testing.kubernetes import login

pytestmark = pytest.mark.timeout(KUBERNETES_TEST_TIMEOUT_S)

LABEL = "reflected=yes"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """One of its own: its API server is killed."""
    with ControlPlane() as plane:
        yield plane


class Listener:
    """What the loop said."""

    def __init__(self, plane: ControlPlane, silence_s: float) -> None:
        self.names: set[str] = set()
        self.api = KubeApi(login(plane.kubeconfig))
        self.loop: Reflector[Pod] = Reflector(
            self.api, PodKind, Pod, LABEL, self.take_all, self.take_one, silence_s=silence_s
        )

    def take_all(self, found: Sequence[Pod]) -> None:
        self.names = {pod.metadata.name for pod in found}

    def take_one(self, pod: Pod, is_gone: bool) -> None:
        (self.names.discard if is_gone else self.names.add)(pod.metadata.name)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async def so() -> bool | None:
            return is_so() or None

        await eventually(so)


@pytest.fixture
async def listener(plane: ControlPlane) -> AsyncIterator[Listener]:
    listener = Listener(plane, silence_s=3.0)
    following = asyncio.create_task(listener.loop.run())
    try:
        await listener.loop.synced.wait()
        yield listener
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await listener.api.close()
        plane.kubectl("delete", "pods", "-l", LABEL, "--grace-period=0", "--force")


def make(plane: ControlPlane, name: str) -> None:
    pod = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"reflected": "yes"}},
        "spec": {"containers": [{"name": "app", "image": "none"}], "terminationGracePeriodSeconds": 0},
    }  # fmt: skip
    plane.apply(pod)


async def test_a_killed_server_is_followed_again(plane: ControlPlane, listener: Listener) -> None:
    """Promise: after a kill -9 and a restart of the server what was before and what comes next is known."""
    make(plane, "before")
    await listener.until(lambda: "before" in listener.names)
    plane.apiserver.kill()
    await listener.until(lambda: listener.loop.lost_s > 0)
    plane.apiserver.start()
    await asyncio.to_thread(plane.wait_until_ready)
    make(plane, "after")
    await listener.until(lambda: {"before", "after"} <= listener.names)
    await listener.until(lambda: listener.loop.lost_s == 0)


async def test_what_was_missed_for_too_long_is_listed(plane: ControlPlane, listener: Listener) -> None:
    """Promise: a version that the server has forgotten (410 Gone) leads to a new list, in which nothing is missing."""
    make(plane, "forgotten")
    await listener.until(lambda: "forgotten" in listener.names)
    lists = listener.loop.relists
    plane.kubectl("create", "configmap", "unrelated")  # a newer version than the loop's
    plane.compact()  # in this thread: with that in which it was started the server would end
    make(plane, "compacted")
    await listener.until(lambda: {"forgotten", "compacted"} <= listener.names)
    assert listener.loop.relists > lists


async def test_silence_ends(plane: ControlPlane, listener: Listener) -> None:
    """Promise: a server that keeps the connection and says nothing is found out, and followed once it speaks."""
    with plane.apiserver.paused():
        await listener.until(lambda: listener.loop.lost_s > 0)
    make(plane, "spoken")
    await listener.until(lambda: "spoken" in listener.names)


async def test_silence_before_the_first_word_ends(plane: ControlPlane) -> None:
    """Promise: a server that takes the connection for a watch and never answers it is found out as well."""
    listener = Listener(plane, silence_s=3.0)
    await listener.loop.list_all()
    with plane.apiserver.paused():
        following = asyncio.create_task(listener.loop.run())
        await listener.until(lambda: listener.loop.lost_s > 0)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await listener.api.close()


async def test_a_watch_that_ends_at_once_does_not_spin(
    plane: ControlPlane, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: a server or proxy that ends every watch at once is asked some times a second, not as often as it can."""
    calls = 0
    real = listener.api.watch
    monkeypatch.setattr(reflector, "WATCH_S", 1)

    def counted(*words: object) -> object:
        nonlocal calls
        calls += 1
        return real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(listener.api, "watch", counted)
    with plane.apiserver.paused():
        await listener.until(lambda: listener.loop.lost_s > 0)
    await listener.until(lambda: calls >= 3)
    make(plane, "seen")
    await listener.until(lambda: "seen" in listener.names)
    assert calls < 40
