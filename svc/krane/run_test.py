"""krane with a real Envoy: what a browser sees while versions change and krane comes and goes."""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from pkg.lifecycle import Runner
from pkg.testing.ports import free_port
from pkg.testing.wait import WAIT_S
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.config import Ingress, KraneConfig
from svc.krane.ingress.testing import Envoy
from svc.krane.run import run
from svc.krane.testing.harness import KraneHarness, name_of, open_harness

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED
HOST = "app.sealift.localhost"
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def harness() -> AsyncIterator[KraneHarness]:
    with tempfile.TemporaryDirectory(prefix="krane") as folder:  # short: socket paths are bounded
        async with open_harness(Path(folder)) as harness:
            yield harness


def config_of(harness: KraneHarness, envoy: Envoy, port: int) -> KraneConfig:
    ingress = Ingress(listen=f"127.0.0.1:{port}", ads_socket=envoy.ads_socket, admin_socket=envoy.admin_socket)
    return msgspec.structs.replace(harness.config(), ingress=ingress)


@asynccontextmanager
async def krane(config: KraneConfig) -> AsyncIterator[None]:
    runner = Runner()
    task = asyncio.create_task(runner.run(run(config, runner)))
    try:
        yield
    finally:
        runner.stop("the test is over")
        await task


async def applied(harness: KraneHarness, version: int) -> None:
    await harness.cluster.until(
        lambda: any(one.version >= version and not one.nacks for one in harness.cluster.applied)
    )


async def watched_again(harness: KraneHarness, seen: int) -> None:
    """Waits until krane follows the feed once more than it did."""
    await harness.cluster.until(lambda: len(harness.cluster.watches) > seen)


@asynccontextmanager
async def load(port: int) -> AsyncIterator[Counter[str]]:
    """Steady requests from four clients; counts what they got."""
    got: Counter[str] = Counter()

    async def client(session: aiohttp.ClientSession) -> None:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/", headers={"Host": HOST}) as answer:
                    got[f"{answer.status} {await answer.text()}"] += 1
            except aiohttp.ClientError as error:
                got[repr(error)] += 1
            await asyncio.sleep(0.005)

    async with aiohttp.ClientSession() as session:
        clients = [asyncio.create_task(client(session)) for _ in range(4)]
        try:
            yield got
        finally:
            for one in clients:
                one.cancel()
            await asyncio.gather(*clients, return_exceptions=True)


async def more(got: Counter[str], what: str) -> None:
    """Waits until some more requests got this."""
    wanted = got[what] + 20
    async with asyncio.timeout(WAIT_S):
        while got[what] < wanted:  # noqa: ASYNC110 - the counter notifies nobody
            await asyncio.sleep(0.01)


async def test_versions_switch_under_load_without_a_failed_request(harness: KraneHarness) -> None:
    # Promise: zero failed requests while a new version goes live, the old one is stopped, and krane is restarted.
    port = free_port()
    envoy = Envoy(harness.folder)
    config = config_of(harness, envoy, port)
    envoy.start()
    try:
        old, new = harness.topology(variables={"BODY": "old"}), harness.topology(variables={"BODY": "new"})
        async with krane(config):
            await harness.cluster.put(old)
            await harness.cluster.until_state(name_of(old), HEALTHY)
            await applied(harness, await harness.cluster.route(HOST, old.deployment_id))
            async with load(port) as got:
                await more(got, "200 old")
                await harness.cluster.put(new)
                await harness.cluster.until_state(name_of(new), HEALTHY)
                await applied(harness, await harness.cluster.route(HOST, new.deployment_id))
                await harness.cluster.remove(old.deployment_id)
                await harness.cluster.until_state(name_of(old), STOPPED)
                await more(got, "200 new")
        async with load(port) as later:
            await more(later, "200 new")
            await harness.cluster.stop()
            async with krane(config):  # from its snapshot: the control plane is away
                await more(later, "200 new")
            await more(later, "200 new")
        assert set(got) == {"200 old", "200 new"}
        assert set(later) == {"200 new"}
    finally:
        envoy.kill()


async def test_kill_at_any_moment_of_a_start_leaves_one_instance(harness: KraneHarness) -> None:
    # Promise: kill -9 of krane while an instance is made: after its restart there is exactly one, and it is healthy.
    envoy = Envoy(harness.folder)
    config = config_of(harness, envoy, free_port())
    file = harness.folder / "krane.toml"
    file.write_text(
        f'region = "{config.region}"\nstate_dir = "{config.state_dir}"\n'
        f'[api]\naddress = "{config.api.address}"\nkey_file = "{config.api.key_file}"\n'
        f'[docker]\nsocket = "{config.docker.socket}"\nnetwork = "{config.docker.network}"\n'
        f'[ingress]\nlisten = "{config.ingress.listen}"\nads_socket = "{config.ingress.ads_socket}"\n'
        f'admin_socket = "{config.ingress.admin_socket}"\n'
    )
    arguments = [sys.executable, "-m", "build.krane.main", "--config", str(file)]
    topology = harness.topology()
    for delay_s in (0.05, 0.15, 0.25):
        process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)
        watches = len(harness.cluster.watches)
        await watched_again(harness, watches)
        if delay_s == 0.05:
            await harness.cluster.put(topology)
        await asyncio.sleep(delay_s)  # not waiting for anything: this is the moment of the kill
        process.kill()
        await process.wait()
    harness.cluster.instances.clear()
    process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)
    try:
        await harness.cluster.until_state(name_of(topology), HEALTHY)
        await harness.cluster.until(lambda: set(harness.cluster.instances) == {name_of(topology)})
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), WAIT_S) == 0, "a requested stop is a clean one"
