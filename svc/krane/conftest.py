"""Fixtures of the tests that run a whole krane on a real engine."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import docker
import pytest

from pkg.testing.kubernetes.fixtures import kubernetes_cluster, kubernetes_plane, pytest_runtest_teardown  # noqa: F401
from svc.krane.testing import engine
from svc.krane.testing.harness import KraneHarness, open_harness


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory whose path leaves room for socket names (pytest's own are too long)."""
    with tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[KraneHarness]:
    async with open_harness(tmp_path) as harness:
        yield harness


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    client = engine.client()
    yield client
    client.close()
