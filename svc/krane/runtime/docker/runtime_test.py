"""`DockerRuntime` against an engine that answers badly; a real engine's part is in svc/krane/krane_test.py."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pkg.desired.scaling import ReplicaBounds
from pkg.docker.calls import EngineCalls
from pkg.errors import Unavailable
from svc.krane.runtime.docker.container_spec import Identity
from svc.krane.runtime.docker.network import RegionNetwork
from svc.krane.runtime.docker.runtime import DockerRuntime
from svc.krane.runtime.port import DISK, DeploymentSpec, PendingError, WantedReplicas

IDENTITY = Identity("inst_test", "local")


class BadEngine:
    """Speaks enough of the Engine API to be opened; `broken` paths answer 500."""

    def __init__(self) -> None:
        self.broken = ""
        self.creations: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Any request."""
        path = request.path.partition("/v1.41")[2] or request.path
        if self.broken and path.startswith(self.broken):
            return web.json_response({"message": "server error: database is locked"}, status=500)
        if path == "/version":
            return web.json_response({"Version": "20.10.24", "Os": "linux", "Arch": "amd64", "ApiVersion": "1.41"})
        if path.startswith("/networks/"):
            ipam = {"Config": [{"Subnet": "10.250.0.0/22"}]}
            return web.json_response({"Name": "sealift-v2", "Labels": IDENTITY.labels(), "IPAM": ipam})
        if path == "/info":
            return web.json_response({"Driver": "overlay2"})
        if path.startswith("/images/"):
            return web.json_response({"Config": {"Cmd": ["serve"]}})
        if path == "/containers/create":
            self.creations.append(await request.json())
            says = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
            if "StorageOpt" not in self.creations[-1]["HostConfig"]:
                says = "no space left on device"
            return web.json_response({"message": says}, status=500)
        return web.json_response(
            [] if path in ("/containers/json", "/networks") else {"message": "No such container"}, status=200
        )


@pytest.fixture
async def engine() -> AsyncIterator[tuple[BadEngine, Path]]:
    folder = Path(tempfile.mkdtemp(prefix="sl-"))  # a socket's path is short
    bad, app = BadEngine(), web.Application()
    app.router.add_route("*", "/{path:.*}", bad.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, folder / "engine.sock").start()
    yield bad, folder / "engine.sock"
    await runner.cleanup()
    shutil.rmtree(folder)


@pytest.mark.parametrize("broken", ["/networks/", "/networks", "/containers/json", "/version"])
async def test_an_engine_that_answers_500_at_the_start_is_away(engine: tuple[BadEngine, Path], broken: str) -> None:
    """Promise: krane waits for an engine that is not well yet, as for one that is not there."""
    bad, socket = engine
    bad.broken = broken
    runtime = DockerRuntime(str(socket), IDENTITY, "sealift")
    try:
        with pytest.raises(Unavailable):
            await runtime.open()
        bad.broken = ""
        assert await runtime.open() == "Docker 20.10.24, linux/amd64"
    finally:
        await runtime.close()


async def test_an_engine_that_answers_500_to_a_question_is_away(engine: tuple[BadEngine, Path]) -> None:
    """Promise: a hiccup of the engine is asked again; it ends neither a pass, nor the resync and krane with it."""
    bad, socket = engine
    runtime = DockerRuntime(str(socket), IDENTITY, "sealift")
    try:
        await runtime.open()
        assert await runtime.list_instances() == []
        bad.broken = "/containers/"
        with pytest.raises(Unavailable):
            await runtime.list_instances()
        with pytest.raises(Unavailable):
            await runtime.observe("dep_1", 0)
        with pytest.raises(Unavailable):
            await runtime.delete("dep_1", "dep-1-0", grace_s=1)
    finally:
        await runtime.close()


async def test_an_address_stays_taken_while_an_older_answer_arrives(engine: tuple[BadEngine, Path]) -> None:
    """Promise: no address is given twice, though the engine listed its containers before the newest was made."""
    _, socket = engine
    calls = EngineCalls(str(socket))
    network = RegionNetwork(calls, IDENTITY, "sealift", None, frozenset)
    try:
        await calls.open()
        await network.ensure()
        asked_at = network.moment()
        first = network.take(is_live=False)
        network.end_lease("one", first, is_made=True)
        later = network.moment()
        network.observed({"one": first}, later)
        network.observed({}, asked_at)
        second = network.take(is_live=False)
        network.end_lease("two", second, is_made=True)
        network.observed({"one": first}, later)
        taken = {network.take(is_live=True) for _ in range(1004)}
        assert not taken & {first, second}
        with pytest.raises(PendingError):
            network.take(is_live=True)
        network.observed({"one": first}, network.moment())
        assert network.take(is_live=True) == second, "removed by other hands"
    finally:
        await calls.close()


async def test_a_storage_driver_that_bounds_nothing_is_asked_once(engine: tuple[BadEngine, Path]) -> None:
    """Promise: the engine bounds an instance's layer where it can; where it can't, instances are made without that, and
    a full disk is reported as what ran out."""
    bad, socket = engine
    runtime = DockerRuntime(str(socket), IDENTITY, "sealift")
    spec = DeploymentSpec("dep_1", "ws_1", "proj_1", "env_1", 1, "engine:sha256:1", 1000, 512, 8080, disk_mib=64)
    try:
        await runtime.open()
        for _ in range(2):
            with pytest.raises(PendingError) as refused:
                await runtime.apply(spec, 0, None, is_live=True)
            assert refused.value.resource == DISK
    finally:
        await runtime.close()
    asked = [one["HostConfig"].get("StorageOpt") for one in bad.creations]
    assert asked == [{"size": "64m"}, None, None]


async def test_bounds_do_not_scale_and_that_is_said(engine: tuple[BadEngine, Path]) -> None:
    """Promise: with bounds an engine runs the least number, and its notice says which and why; without, no notice."""
    runtime = DockerRuntime(str(engine[1]), IDENTITY, "sealift")
    spec = DeploymentSpec("dep_1", "ws_1", "proj_1", "env_1", 2, "engine:sha256:1", 500, 64, 8080)
    try:
        assert await runtime.wanted_replicas(spec) == WantedReplicas(2)
        wanted = await runtime.wanted_replicas(replace(spec, bounds=ReplicaBounds(2, 8)))
    finally:
        await runtime.close()
    assert wanted.count == 2
    assert "no autoscaler, so min_replicas = 2" in wanted.notice
