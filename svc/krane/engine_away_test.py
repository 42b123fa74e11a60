"""krane while its engine does not answer, on a real engine behind a switch: nothing unknown is reported as nothing."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import docker

from sealift.ctrl.v1 import deployment_pb2
from svc.krane.testing.harness import KraneHarness, containers, eventually, name_of
from svc.krane.testing.routes import routes_to
from svc.krane.testing.switch import Switch

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED


@contextlib.asynccontextmanager
async def switch(harness: KraneHarness, folder: Path) -> AsyncIterator[Switch]:
    """The harness's engine, behind a socket that can be shut."""
    one = Switch(folder / "engine.sock", Path(harness.socket))
    await one.open()
    harness.socket = str(folder / "engine.sock")
    try:
        yield one
    finally:
        await one.open()
        await harness.stop_krane()
        await one.shut()


async def live(harness: KraneHarness) -> str:
    """A deployment that serves app.example; its id."""
    await harness.start_krane()
    topology = harness.topology()
    await harness.cluster.put(topology)
    await harness.cluster.until_state(name_of(topology), HEALTHY)
    version = await harness.cluster.route("app.example", topology.deployment_id)
    await harness.cluster.until(lambda: any(one.version >= version for one in harness.cluster.applied))
    return topology.deployment_id


async def test_a_krane_without_an_engine_serves_what_is_remembered(harness: KraneHarness, short_dir: Path) -> None:
    """However long the engine is away: routes and endpoints stay, and nothing of it is reported to the api."""
    async with switch(harness, short_dir) as engine:
        deployment_id = await live(harness)
        served = harness.ingress.healthy(deployment_id)
        await harness.stop_krane()
        await engine.shut()
        seen = len(harness.cluster.reports)
        await harness.start_krane()
        await eventually(lambda: harness.ingress.is_ready)
        assert harness.ingress.routes == routes_to({"app.example": deployment_id})
        assert harness.ingress.healthy(deployment_id) == served
        await harness.cluster.until(lambda: harness.cluster.heartbeats >= 2)
        assert harness.ingress.healthy(deployment_id) == served
        assert harness.cluster.reports[seen:] == [], "nothing was seen, so nothing is reported"
        await harness.cluster.until(lambda: "no engine can be reached" in harness.cluster.engine_away)
        await engine.open()
        await harness.cluster.until(lambda: any(report.complete for report in harness.cluster.reports[seen:]))
        assert harness.ingress.healthy(deployment_id) == served
        await harness.cluster.until(lambda: harness.cluster.engine_away == "")


async def test_without_a_memory_nothing_is_told_of_instances(harness: KraneHarness, short_dir: Path) -> None:
    """The state of krane is lost while the engine is away: Envoy gets the routes, and nothing about endpoints."""
    async with switch(harness, short_dir) as engine:
        deployment_id = await live(harness)
        served = harness.ingress.healthy(deployment_id)
        await harness.stop_krane()
        await engine.shut()
        for file in (harness.folder / "krane").iterdir():
            file.unlink()
        await harness.start_krane()
        await eventually(lambda: harness.ingress.is_ready)
        assert harness.ingress.routes == routes_to({"app.example": deployment_id})
        assert deployment_id not in harness.ingress.endpoints
        await engine.open()
        await eventually(lambda: harness.ingress.healthy(deployment_id) == served)


async def test_an_engine_that_hangs_changes_nothing(harness: KraneHarness, short_dir: Path) -> None:
    """Stopped by SIGSTOP it takes connections and answers none: what serves keeps serving, and so does all after it."""
    async with switch(harness, short_dir) as engine:
        deployment_id = await live(harness)
        served = harness.ingress.healthy(deployment_id)
        engine.hang()
        other = harness.topology()
        await harness.cluster.put(other)
        await harness.cluster.until(lambda: "it hangs" in harness.cluster.engine_away)
        assert harness.ingress.healthy(deployment_id) == served
        await engine.open()
        await harness.cluster.until_state(name_of(other), HEALTHY)
        assert harness.ingress.healthy(deployment_id) == served


async def test_what_went_while_krane_was_away_is_forgotten(
    harness: KraneHarness, short_dir: Path, client: docker.APIClient
) -> None:
    """A remembered deployment that nobody wants leaves the ingress once the engine has said that it is gone."""
    async with switch(harness, short_dir) as engine:
        deployment_id = await live(harness)
        topology = harness.topology()
        await harness.cluster.put(topology)
        await harness.cluster.until_state(name_of(topology), HEALTHY)
        await harness.stop_krane()
        client.remove_container(name_of(topology), force=True)
        await harness.cluster.remove(topology.deployment_id)
        await engine.shut()
        await harness.start_krane()
        await eventually(lambda: harness.ingress.is_ready)
        await engine.open()
        await eventually(lambda: topology.deployment_id not in harness.ingress.endpoints)
        assert containers(client, harness) == {name_of_id(deployment_id)}


def name_of_id(deployment_id: str) -> str:
    return f"{deployment_id.replace('_', '-')}-0"
