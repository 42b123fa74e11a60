import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from svc.krane.ingress.testing import Upstream, World, world


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory whose path leaves room for socket names (pytest's own are too long)."""
    with tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
async def up(short_dir: Path) -> AsyncIterator[World]:
    """A ready control plane and a running Envoy."""
    async with world(short_dir) as it:
        yield it


@pytest.fixture
async def apps() -> AsyncIterator[list[Upstream]]:
    """Three running upstreams named a, b and c."""
    upstreams = [await Upstream(name).start() for name in "abc"]
    yield upstreams
    for upstream in upstreams:
        await upstream.stop()
