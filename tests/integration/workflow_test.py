"""Crashes of the worker process and of Restate, with a real worker process on a real Restate and a real database."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from pkg.deployments.status import RunState, Status
from pkg.regions import queries as regions
from pkg.restate.testing import RestateServer
from pkg.storage.disk.testing import KEY
from pkg.telemetry import BuildLine
from pkg.telemetry.contract import numbers_are_complete
from pkg.testing.ports import free_port
from svc.worker.testing.fixtures import MASTER_KEY
from svc.worker.testing.harness import WorkerHarness, worker_harness

ROOT = Path(__file__).parents[2]
STOP_WITHIN_S = 20


@pytest.fixture(scope="module", params=["normal", "always_replay"])
def restate_server(request: pytest.FixtureRequest) -> Iterator[RestateServer]:
    with RestateServer(always_replay=request.param == "always_replay") as server:
        yield server


class Worker:
    """The worker process. Its log is in `folder`/worker.log."""

    def __init__(
        self, harness: WorkerHarness, server: RestateServer, module: str = "tests.integration.peer_worker"
    ) -> None:
        self.folder = harness.folder
        self.metrics_port = free_port()
        self._module = module
        self._config = self.folder / "worker.toml"
        for name, key in (("urls.key", KEY), ("master.key", MASTER_KEY)):
            (self.folder / name).write_bytes(key)
            (self.folder / name).chmod(0o600)
        limits = harness.deps.config.deploy
        self._config.write_text(
            f"""
            instance_id = "worker-test"
            [http]
            listen = "{harness.deps.config.http.listen}"
            uri = "{harness.deps.config.http.uri}"
            [database]
            url = "sqlite:///{self.folder / "control.db"}"
            [telemetry]
            path = "{self.folder / "telemetry.db"}"
            [objects]
            root = "{self.folder / "objects"}"
            signing_key_file = "{self.folder / "urls.key"}"
            external_url = "http://127.0.0.1:1"
            [restate]
            ingress = "{server.ingress}"
            admin = "{server.admin}"
            identity_public_key = "{server.public_key}"
            [vault]
            master_key_file = "{self.folder / "master.key"}"
            [metrics]
            listen = "127.0.0.1:{self.metrics_port}"
            [build]
            timeout_s = 60
            [deploy]
            wait_poll_s = {limits.wait_poll_s}
            route_timeout_s = {limits.route_timeout_s}
            """
        )
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "worker.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", self._module, "--config", str(self._config)],
                cwd=ROOT,
                env={**os.environ, "PEER_FOLDER": str(self.folder)},
                stdout=log,
                stderr=log,
            )

    async def end(self, number: int) -> int:
        """Sends the signal and waits for the end; its exit status."""
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, STOP_WITHIN_S)

    async def crash(self) -> None:
        """kill -9, then a new process."""
        await self.end(signal.SIGKILL)
        self.process = self._start()

    @property
    def attempts(self) -> list[str]:
        """The calls of its builder, oldest first."""
        file = self.folder / "attempts"
        return file.read_text().split("\n")[:-1] if file.exists() else []

    def go(self) -> None:
        """Builds end from now on."""
        (self.folder / "go").touch()


@asynccontextmanager
async def process(server: RestateServer, folder: Path, **kind: str) -> AsyncIterator[tuple[WorkerHarness, Worker]]:
    """A harness with a worker in a process of its own."""
    async with worker_harness(server, folder, with_worker=False) as harness:
        worker = Worker(harness, server, **kind)
        try:
            await harness.until(lambda: _is_registered(harness), "the worker has registered")
            yield harness, worker
        finally:
            await worker.end(signal.SIGKILL)


async def _is_registered(harness: WorkerHarness) -> bool:
    found = await harness.deps.restate.sql("select endpoint from sys_deployment")
    return any(harness.deps.config.http.uri in row["endpoint"] for row in found)


async def attempts_started(worker: Worker, count: int) -> None:
    """Returns once so many attempts have started."""
    async with asyncio.timeout(60):
        while len(worker.attempts) < count:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)


async def test_kill_9_of_the_worker_while_it_builds(restate_server: RestateServer, tmp_path: Path) -> None:
    """A second attempt of the same build, noted in its log, which continues; one deployment, ready."""
    async with process(restate_server, tmp_path) as (harness, worker):
        deployment_id = await harness.deploy()
        build_id = (await harness.deployment(deployment_id)).build_id or ""
        await harness.until(lambda: harness.deps.telemetry.builds.read(build_id), "the first line is stored")
        await worker.crash()
        await attempts_started(worker, 2)
        worker.go()
        ended = await harness.ended(deployment_id, Status.READY)
        assert worker.attempts == [f"{ended.build_id} 1", f"{ended.build_id} 2"]
        events = await harness.deps.telemetry.builds.read(ended.build_id or "")
        assert numbers_are_complete(events)
        log = [e.event.text for e in events if isinstance(e.event, BuildLine)]
        assert log == ["attempt 1", "build restarted (attempt 2)", "attempt 2"]


@pytest.mark.parametrize("killed", ["worker", "restate"])
@pytest.mark.parametrize("phase", ["deploying", "network"])
async def test_kill_9_while_a_deploy_waits(
    restate_server: RestateServer, tmp_path: Path, killed: str, phase: str
) -> None:
    """Whichever process is killed, the deploy continues where it was, and nothing is deployed twice."""
    async with process(restate_server, tmp_path) as (harness, worker):
        if phase == "deploying":
            harness.region.behavior.by_default = "starting"
        else:
            harness.region.behavior.applies = False
        deployment_id = await harness.deploy(image="a")
        await harness.reaches(deployment_id, Status(phase))
        if killed == "worker":
            await worker.crash()
        else:
            await asyncio.to_thread(restate_server.stop, signal.SIGKILL)
            await asyncio.to_thread(restate_server.start)
        harness.region.behavior.by_default, harness.region.behavior.applies = "healthy", True
        harness.region.changed()
        await harness.ended(deployment_id, Status.READY)
        assert await harness.live() == deployment_id
        assert len(await harness.deps.db.read(regions.topologies_of, deployment_id)) == 1


async def test_crashes_while_many_deploys_run(restate_server: RestateServer, tmp_path: Path) -> None:
    """The worker dies three times while deploys of several branches overlap: all ready, the newest one is live."""
    async with process(restate_server, tmp_path) as (harness, worker):
        worker.go()
        ids = []
        for n in range(9):
            ids.append(await harness.deploy(image="" if n % 3 == 0 else "a", branch=f"b{n}"))
            if n % 3 == 2:
                await harness.reaches(ids[n - 2], Status.BUILDING, Status.DEPLOYING, Status.NETWORK, Status.READY)
                await worker.crash()
        for deployment_id in ids:  # Restate's pauses grow with each crash
            await harness.ended(deployment_id, Status.READY, within_s=180)
        assert await harness.live() == ids[-1]
        for deployment_id in ids:
            assert any("-git-b" in hostname for hostname in await harness.hostnames(deployment_id))
            assert (await harness.deployment(deployment_id)).run_state is RunState.RUNNING


async def test_a_failed_deploy_is_undone_across_a_crash(restate_server: RestateServer, tmp_path: Path) -> None:
    """The compensation finishes although the worker dies in it: no route and no instance stays."""
    async with process(restate_server, tmp_path) as (harness, worker):
        first = await harness.deploy(image="a")
        await harness.ended(first, Status.READY)
        harness.region.behavior.by_default = "failed"
        second = await harness.deploy(image="b")
        await harness.reaches(second, Status.DEPLOYING, Status.FAILED)
        await worker.crash()
        ended = await harness.ended(second, Status.FAILED)
        assert ended.error_code == "instance.failed"
        await harness.in_run_state(second, RunState.STOPPED)
        assert await harness.live() == first


async def test_sigterm_ends_the_worker_in_time(restate_server: RestateServer, tmp_path: Path) -> None:
    """Also with a build under way and after Restate has called it: exit 0, and the next worker makes a new attempt."""
    async with process(restate_server, tmp_path) as (harness, worker):
        deployment_id = await harness.deploy()
        await attempts_started(worker, 1)
        assert await worker.end(signal.SIGTERM) == 0
        worker.go()
        worker.process = worker._start()
        await harness.ended(deployment_id, Status.READY)
        assert len(worker.attempts) == 2


async def test_the_worker_as_it_is_installed(restate_server: RestateServer, tmp_path: Path) -> None:
    """The real entry point with the real builder: registers itself, deploys, counts it, stops at once when idle."""
    async with process(restate_server, tmp_path, module="build.worker.main") as (harness, worker):
        deployment_id = await harness.deploy(image="a")
        await harness.ended(deployment_id, Status.READY)
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{worker.metrics_port}/metrics") as page:
            text = await page.text()
        assert 'sealift_deploy_duration_seconds_count{outcome="ready"} 1.0' in text
        assert 'service_instance_id="worker-test"' in text
        assert await worker.end(signal.SIGTERM) == 0
