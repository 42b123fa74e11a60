import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.testing import IngressHarness, Upstream, running_ingress
from svc.krane.ingress.testing_raw import Raw, raw_app
from svc.krane.testing.routes import routes_to


@pytest.fixture
async def up(short_dir: Path) -> AsyncIterator[IngressHarness]:
    """A ready control plane and a running Envoy."""
    async with running_ingress(short_dir) as it:
        yield it


@pytest.fixture
async def apps() -> AsyncIterator[list[Upstream]]:
    """Three running upstreams named a, b and c."""
    upstreams = [await Upstream(name).start() for name in "abc"]
    yield upstreams
    for upstream in upstreams:
        await upstream.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def raw() -> AsyncIterator[Raw]:
    """An app that is served, both byte by byte; shared by the tests of a module."""
    with tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as name:
        async with running_ingress(Path(name)) as up, raw_app() as app:
            up.ingress.set_endpoints("dep_a", [app.endpoint()])
            up.ingress.set_routes(routes_to({Raw.HOST: "dep_a"}), 1)
            assert (await up.ingress.wait_version(1, WAIT_S)).version == 1
            yield Raw(up.port, app)
