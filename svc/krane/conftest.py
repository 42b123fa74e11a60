"""Fixtures of the tests that run a whole krane on a real engine."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import docker
import pytest

from svc.krane.testing import engine
from svc.krane.testing.lab import Lab, open_lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_lab(tmp_path) as lab:
        yield lab


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    client = engine.client()
    yield client
    client.close()
