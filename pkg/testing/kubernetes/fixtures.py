"""The clusters that all tests of a session share. A `conftest.py` that imports a fixture from here offers it."""

import contextlib
from collections.abc import Iterator

import pytest

from pkg.testing.kubernetes.control_plane import ControlPlane


class _Shared:
    """Starts with its first user and ends with its last: each conftest has a fixture of its own."""

    def __init__(self) -> None:
        self._users = 0
        self._stack = contextlib.ExitStack()
        self._plane: ControlPlane | None = None

    @contextlib.contextmanager
    def plane(self) -> Iterator[ControlPlane]:
        if self._plane is None:
            self._plane = self._stack.enter_context(ControlPlane())
            self._plane.add_fake_node()
        self._users += 1
        try:
            yield self._plane
        finally:
            self._users -= 1
            if not self._users:
                self._plane = None
                self._stack.close()


_shared = _Shared()


@pytest.fixture(scope="session")
def kubernetes_plane() -> Iterator[ControlPlane]:
    """A control plane with the fake node `fake`; it fails, with the remedy, where it was not prepared.

    Tests share it: each uses namespaces and labels of its own, and leaves every program running.
    """
    with _shared.plane() as plane:
        yield plane
