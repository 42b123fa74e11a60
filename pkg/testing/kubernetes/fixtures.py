"""The clusters that tests share. A `conftest.py` that imports a fixture from here offers it, and imports the hook, too.

A cluster goes on from module to module for as long as the next test uses it, and ends then: programs of Kubernetes are
never idle. `tests/plugin.py` lets the modules that use one follow each other in one worker.
"""

from collections.abc import Callable, Generator
from typing import Generic, TypeVar

import pytest

from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.kubernetes.real_node import Cluster

P = TypeVar("P", bound=ControlPlane)


class _Shared(Generic[P]):
    """Starts with its first user, and goes on until `end`: each conftest has a fixture of its own."""

    def __init__(self, make: Callable[[], P]) -> None:
        self._make = make
        self._one: P | None = None

    def start(self, config: pytest.Config) -> P:
        """The one that runs, or a new one."""
        if self._one is None:
            config.add_cleanup(self.end)  # of a run that was interrupted
            self._one = self._make()
            try:
                self._one.start()
            except BaseException:
                self.end()
                raise
        return self._one

    @property
    def running(self) -> P | None:
        """None: it has not begun, or has ended."""
        return self._one

    def end(self) -> None:
        """Idempotent."""
        one, self._one = self._one, None
        if one is not None:
            one.stop()


class _PlaneWithNode(ControlPlane):
    def start(self) -> None:
        super().start()
        self.add_fake_node()


_plane = _Shared(_PlaneWithNode)
_cluster = _Shared(Cluster)
_SHARED: dict[str, _Shared[ControlPlane] | _Shared[_PlaneWithNode] | _Shared[Cluster]] = {
    "kubernetes_plane": _plane, "kubernetes_cluster": _cluster,
}  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, None, None]:
    """Ends what the next module does not use, once the fixtures of this one have ended."""
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path != item.path:
            for name in _SHARED.keys() - _used_with(nextitem):
                _SHARED[name].end()
            if (cluster := _cluster.running) is not None:  # Pods of one module leave those of the next one no room
                cluster.clear()


def _used_with(item: pytest.Item | None) -> set[str]:
    """The fixtures of an item's module."""
    if item is None:
        return set()
    mates = (one for one in item.session.items if one.path == item.path)
    return {name for one in mates for name in getattr(one, "fixturenames", ())}


@pytest.fixture(scope="module")
def kubernetes_plane(request: pytest.FixtureRequest) -> ControlPlane:
    """A control plane with the fake node `fake`; it fails, with the remedy, where it was not prepared.

    Tests share it: each uses namespaces and labels of its own, and leaves every program running.
    """
    return _plane.start(request.config)


@pytest.fixture(scope="module")
def kubernetes_cluster(request: pytest.FixtureRequest) -> Cluster:
    """A control plane with a real node; it fails, with the remedy, where it was not prepared or without root.

    Tests share it: each uses namespaces and labels of its own, and leaves every program running.
    """
    return _cluster.start(request.config)
