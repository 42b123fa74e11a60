"""The clusters that all tests of a session share. A `conftest.py` that imports a fixture from here offers it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import pytest

from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.kubernetes.real_node import Cluster

P = TypeVar("P", bound=ControlPlane)


class _Shared(Generic[P]):
    """Starts with its first user and ends with its last: each conftest has a fixture of its own."""

    def __init__(self, make: Callable[[], P]) -> None:
        self._make = make
        self._users = 0
        self._one: P | None = None

    @contextlib.contextmanager
    def use(self) -> Iterator[P]:
        if self._one is None:
            self._one = self._make()
            try:
                self._one.start()
            except BaseException:
                self._end()
                raise
        self._users += 1
        try:
            yield self._one
        finally:
            self._users -= 1
            if not self._users:
                self._end()

    def _end(self) -> None:
        if self._one is not None:
            self._one.stop()
            self._one = None


class _PlaneWithNode(ControlPlane):
    def start(self) -> None:
        super().start()
        self.add_fake_node()


_plane = _Shared(_PlaneWithNode)
_cluster = _Shared(Cluster)


@pytest.fixture(scope="session")
def kubernetes_plane() -> Iterator[ControlPlane]:
    """A control plane with the fake node `fake`; it fails, with the remedy, where it was not prepared.

    Tests share it: each uses namespaces and labels of its own, and leaves every program running.
    """
    with _plane.use() as plane:
        yield plane


@pytest.fixture(scope="session")
def kubernetes_cluster() -> Iterator[Cluster]:
    """A control plane with a real node; it fails, with the remedy, where it was not prepared or without root.

    Tests share it: each uses namespaces and labels of its own, and leaves every program running.
    """
    with _cluster.use() as cluster:
        yield cluster
