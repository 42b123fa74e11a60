"""krane while its engine does not answer, on a real engine behind a switch: nothing unknown is told as nothing."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import docker

from sealift.ctrl.v1 import deployment_pb2
from svc.krane.testing.lab import Lab, containers, eventually, name_of
from svc.krane.testing.switch import Switch

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY
STOPPED = deployment_pb2.INSTANCE_STATE_STOPPED


@contextlib.asynccontextmanager
async def switch(lab: Lab, folder: Path) -> AsyncIterator[Switch]:
    """The lab's engine, behind a socket that can be shut."""
    one = Switch(folder / "engine.sock", Path(lab.socket))
    await one.open()
    lab.socket = str(folder / "engine.sock")
    try:
        yield one
    finally:
        await one.open()
        await lab.stop_krane()
        await one.shut()


async def live(lab: Lab) -> str:
    """A deployment that serves app.example; its id."""
    await lab.start_krane()
    topology = lab.topology()
    await lab.cluster.put(topology)
    await lab.cluster.until_state(name_of(topology), HEALTHY)
    version = await lab.cluster.route("app.example", topology.deployment_id)
    await lab.cluster.until(lambda: any(one.version >= version for one in lab.cluster.applied))
    return topology.deployment_id


async def test_a_krane_without_an_engine_serves_what_is_remembered(lab: Lab, short_dir: Path) -> None:
    """However long the engine is away: routes and endpoints stay, and the api is told nothing of it."""
    async with switch(lab, short_dir) as engine:
        deployment_id = await live(lab)
        served = lab.ingress.healthy(deployment_id)
        await lab.stop_krane()
        await engine.shut()
        seen = len(lab.cluster.reports)
        await lab.start_krane()
        await eventually(lambda: lab.ingress.is_ready)
        assert lab.ingress.routes == {"app.example": deployment_id}
        assert lab.ingress.healthy(deployment_id) == served
        await lab.cluster.until(lambda: lab.cluster.heartbeats >= 2)
        assert lab.ingress.healthy(deployment_id) == served
        assert lab.cluster.reports[seen:] == [], "nothing was seen, so nothing is reported"
        await lab.cluster.until(lambda: "nobody can be reached" in lab.cluster.engine_away)
        await engine.open()
        await lab.cluster.until(lambda: any(report.complete for report in lab.cluster.reports[seen:]))
        assert lab.ingress.healthy(deployment_id) == served
        await lab.cluster.until(lambda: lab.cluster.engine_away == "")


async def test_without_a_memory_nothing_is_told_of_instances(lab: Lab, short_dir: Path) -> None:
    """The state of krane is lost while the engine is away: Envoy is told the routes, and nothing of endpoints."""
    async with switch(lab, short_dir) as engine:
        deployment_id = await live(lab)
        served = lab.ingress.healthy(deployment_id)
        await lab.stop_krane()
        await engine.shut()
        for file in (lab.folder / "krane").iterdir():
            file.unlink()
        await lab.start_krane()
        await eventually(lambda: lab.ingress.is_ready)
        assert lab.ingress.routes == {"app.example": deployment_id}
        assert deployment_id not in lab.ingress.endpoints
        await engine.open()
        await eventually(lambda: lab.ingress.healthy(deployment_id) == served)


async def test_an_engine_that_hangs_changes_nothing(lab: Lab, short_dir: Path) -> None:
    """Stopped by SIGSTOP it takes connections and answers none: what serves goes on, and so does all after it."""
    async with switch(lab, short_dir) as engine:
        deployment_id = await live(lab)
        served = lab.ingress.healthy(deployment_id)
        engine.hang()
        other = lab.topology()
        await lab.cluster.put(other)
        await lab.cluster.until(lambda: "it hangs" in lab.cluster.engine_away)
        assert lab.ingress.healthy(deployment_id) == served
        await engine.open()
        await lab.cluster.until_state(name_of(other), HEALTHY)
        assert lab.ingress.healthy(deployment_id) == served


async def test_what_went_while_krane_was_away_is_forgotten(lab: Lab, short_dir: Path, client: docker.APIClient) -> None:
    """A remembered deployment that nobody wants leaves the ingress once the engine has said that it is gone."""
    async with switch(lab, short_dir) as engine:
        deployment_id = await live(lab)
        topology = lab.topology()
        await lab.cluster.put(topology)
        await lab.cluster.until_state(name_of(topology), HEALTHY)
        await lab.stop_krane()
        client.remove_container(name_of(topology), force=True)
        await lab.cluster.remove(topology.deployment_id)
        await engine.shut()
        await lab.start_krane()
        await eventually(lambda: lab.ingress.is_ready)
        await engine.open()
        await eventually(lambda: topology.deployment_id not in lab.ingress.endpoints)
        assert containers(client, lab) == {name_of_id(deployment_id)}


def name_of_id(deployment_id: str) -> str:
    return f"{deployment_id.replace('_', '-')}-0"
