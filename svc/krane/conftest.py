"""Fixtures of the tests that run a whole krane on a real engine."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import docker
import pytest

from svc.krane.testing import engine
from svc.krane.testing.lab import Lab, open_lab


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory whose path leaves room for socket names (pytest's own are too long)."""
    with tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(tmp_path) as lab:
        yield lab


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    client = engine.client()
    yield client
    client.close()
