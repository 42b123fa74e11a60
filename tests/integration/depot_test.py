"""Builds at Depot, by a real worker's workflow on a real Restate: attempts, cancels, and what the row says."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pkg.builders.depot.config import DepotBuilderConfig
from pkg.builders.testing import SHELL, context, nonce
from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus
from pkg.depot.testing import DepotDouble, depot_double
from pkg.registry.testing import DockerRegistry
from pkg.restate.testing import RestateServer
from pkg.telemetry import BuildLine
from svc.worker.testing.harness import WorkerHarness, worker_harness


@pytest.fixture(scope="module")
def restate_server() -> Iterator[RestateServer]:
    with RestateServer() as server:
        yield server


@pytest.fixture(scope="module")
def daemon() -> Iterator[BuildkitDaemon]:
    running = BuildkitDaemon()
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def registry() -> Iterator[DockerRegistry]:
    with DockerRegistry(login="basic") as running:
        yield running


@pytest.fixture
async def depot(daemon: BuildkitDaemon) -> AsyncIterator[DepotDouble]:
    async with depot_double(daemon.socket) as double:
        yield double


@pytest.fixture
async def harness(
    restate_server: RestateServer, depot: DepotDouble, registry: DockerRegistry, tmp_path: Path
) -> AsyncIterator[WorkerHarness]:
    """A worker whose builder is opened from its sections, as in production."""
    sections = {
        "build": DepotBuilderConfig(timeout_s=60, sbom_scanner=""),
        "depot": depot.config(),
        "registry": registry.config(),
    }
    async with worker_harness(restate_server, tmp_path, build_sections=sections) as one:
        yield one


def archive(lines: str) -> bytes:
    """A build context with these lines on top of a shell."""
    return context({"Dockerfile": SHELL + lines})


async def output(harness: WorkerHarness, build_id: str) -> str:
    """The build's log so far."""
    events = await harness.deps.telemetry.builds.read(build_id)
    return "\n".join(e.event.text for e in events if isinstance(e.event, BuildLine))


async def has_begun(harness: WorkerHarness, build_id: str) -> bool:
    """Whether the command of the Dockerfile runs."""
    return "begun" in await output(harness, build_id)


async def test_a_vanished_machine_costs_an_attempt(
    harness: WorkerHarness, depot: DepotDouble, registry: DockerRegistry
) -> None:
    """Promise: the build gets another machine and succeeds; Depot reads how each of the two builds has ended."""
    build_id = await harness.build(archive=archive(f"RUN echo begun {nonce()}; busybox sleep 3\n"))
    await harness.until(lambda: has_begun(harness, build_id), "the command runs")
    await depot.last.gate.close()
    build = await harness.build_ended(build_id)
    assert (build.status, build.attempt) == (BuildStatus.SUCCEEDED, 2), build.error_message
    assert build.image_ref.startswith(f"{registry.config().url}/")
    first, second = depot.builds.values()
    assert ("lost" in first.outcome, second.outcome) == (True, "success")
    assert (first.released, second.released, len(depot.projects)) == (1, 1, 1)
    log = await output(harness, build_id)
    assert log.count("acquired a machine of Depot: build ") == 2
    assert "build restarted (attempt 2)" in log


async def test_a_cancel_is_told_to_depot(harness: WorkerHarness, depot: DepotDouble) -> None:
    """Promise: who cancels a build ends it on the machine, which is released; Depot reads that a user did it."""
    build_id = await harness.build(archive=archive(f"RUN echo begun {nonce()}; while :; do :; done\n"))
    await harness.until(lambda: has_begun(harness, build_id), "the command runs")
    await harness.deps.db.write(builds.request_cancel, build_id, 1)
    assert (await harness.build_ended(build_id)).status is BuildStatus.CANCELLED
    await depot.last.ended.wait()
    assert (depot.last.outcome, depot.last.released) == ("cancelled by user", 1)


async def test_a_revoked_token_fails_the_build_at_once(harness: WorkerHarness, depot: DepotDouble) -> None:
    """Promise: one attempt, the code that says whose fault it is, and no token in the message."""
    told, depot.token = depot.token, "another"
    build = await harness.build_ended(await harness.build(archive=archive("RUN :\n")))
    assert (build.status, build.attempt, build.error_code) == (BuildStatus.FAILED, 1, "build.builder_auth")
    assert "[depot] access_token" in (build.error_message or "")
    assert told not in (build.error_message or "")
