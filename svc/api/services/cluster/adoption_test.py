"""The port of a deployment that sets none: recorded once, sent to every region, never changed."""

import grpc
import pytest
from grpc import aio
from sqlalchemy import Connection, update

from pkg.deployments import queries as deployments
from pkg.deployments.status import Status
from pkg.deployments.tables import deployments as table
from pkg.regions import ports
from pkg.regions import queries as regions
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import common_pb2
from sealift.ctrl.v1 import deployment_pb2 as deployment
from svc.api.cluster_testing import NOW, place, register, report, seen
from svc.api.conftest import Deploy
from svc.api.deployment_testing import walk_to
from svc.api.testing import REGION, RunningApi, refused

STARTING = deployment.INSTANCE_STATE_STARTING
HEALTHY = deployment.INSTANCE_STATE_HEALTHY


@pytest.fixture(autouse=True)
async def epoch(api: RunningApi) -> str:
    return await register(api)


def at(
    port: int, deployment_id: str, state: "deployment.InstanceState.ValueType", when: int = NOW
) -> pb.InstanceReport:
    found = seen(deployment_id, state, when)
    found.port = port
    return found


async def shown(api: RunningApi, deployment_id: str) -> deployment.Deployment:
    request = deployment.GetDeploymentRequest(deployment_id=deployment_id)
    found: deployment.Deployment = (await api.admin.deployment.GetDeployment(request)).deployment
    return found


async def topologies(api: RunningApi, region: str = REGION) -> list[pb.Topology]:
    """The deployments as a newly started region receives them."""
    received = []
    async for message in api.krane.cluster.WatchDesiredState(pb.WatchDesiredStateRequest(region=region)):
        if message.HasField("topology"):
            received.append(message.topology)
        if message.HasField("snapshot_end"):
            break
    return received


async def test_the_first_port_is_recorded_and_sent(api: RunningApi, deploy: Deploy) -> None:
    """Promise: the first record stands, whatever comes later or twice; feed, status and notice say it."""
    made = await deploy()
    await api.db.write(place, made.deployment_id)
    assert (made.port, made.settings.HasField("port")) == (0, False)
    before = (await topologies(api))[0]
    assert (before.settings.HasField("port"), before.adopted_port) == (False, 0)
    for port in (3000, 3000, 4000):
        await report(api, at(port, made.deployment_id, STARTING))
    assert [t.adopted_port for t in await topologies(api)] == [3000]
    found = await shown(api, made.deployment_id)
    assert (found.port, found.port_is_adopted, found.settings.HasField("port")) == (3000, True, False)
    assert [notice for notice in found.notices if "[run] port = 3000" in notice] == list(found.notices)
    assert len(found.notices) == 1


async def test_a_stream_under_way_receives_it_at_once(api: RunningApi, deploy: Deploy) -> None:
    """Promise: the record reaches krane by the feed, as a change of the topology, once."""
    made = await deploy()
    await api.db.write(place, made.deployment_id)
    stream = api.krane.cluster.WatchDesiredState(pb.WatchDesiredStateRequest(region=REGION))
    async for message in stream:
        if message.HasField("head"):
            break
    for _ in range(2):
        await report(api, at(5000, made.deployment_id, STARTING))
    ports = []
    async for message in stream:
        if message.HasField("topology"):
            ports.append(message.topology.adopted_port)
        if message.HasField("head"):
            break
    assert ports == [5000]


async def test_an_app_that_obeys_is_recorded_with_its_first_healthy_report(api: RunningApi, deploy: Deploy) -> None:
    """Promise: $PORT counts as found, too, so that no other instance can choose another; there is nothing to notice."""
    made = await deploy()
    await api.db.write(place, made.deployment_id)
    await report(api, at(8080, made.deployment_id, HEALTHY))
    found = await shown(api, made.deployment_id)
    assert (found.port, list(found.notices)) == (8080, [])
    await report(api, at(3000, made.deployment_id, STARTING, NOW + 1))
    assert (await shown(api, made.deployment_id)).port == 8080


async def test_a_healthy_instance_on_another_port_fails(api: RunningApi, deploy: Deploy) -> None:
    """Promise: one port serves all: a replica or region that answers elsewhere fails the deploy, naming both."""
    made = await deploy()
    await api.db.write(place, made.deployment_id)
    await report(api, at(3000, made.deployment_id, STARTING))
    await report(api, at(8080, made.deployment_id, HEALTHY, NOW + 1))
    found = await shown(api, made.deployment_id)
    assert found.instances[0].state == deployment.INSTANCE_STATE_FAILED
    assert "on port 8080 here" in found.instances[0].reason
    assert "on port 3000 before" in found.instances[0].reason


async def test_a_set_port_records_nothing(api: RunningApi, deploy: Deploy) -> None:
    """Promise: a port in the settings always holds, even if a krane reports another one."""
    made = await deploy(settings=common_pb2.RuntimeSettings(port=8080))
    await api.db.write(place, made.deployment_id)
    await report(api, at(3000, made.deployment_id, HEALTHY))
    found = await shown(api, made.deployment_id)
    assert (found.port, found.port_is_adopted, found.instances[0].state) == (8080, False, HEALTHY)
    assert (await topologies(api))[0].adopted_port == 0


async def test_zero_takes_the_port_of_the_environment_back(api: RunningApi, deploy: Deploy) -> None:
    """Promise: "not set" can override an environment that sets one."""
    made = await deploy(settings=common_pb2.RuntimeSettings(port=0))
    assert not made.settings.HasField("port")


async def test_snapshots_of_before_keep_their_port(api: RunningApi, deploy: Deploy) -> None:
    """Promise: a deployment that was recorded with the old default runs on it, as it always did."""
    made = await deploy()
    await api.db.write(place, made.deployment_id)

    def as_before(connection: Connection) -> None:
        found = deployments.get(connection, made.deployment_id)
        assert found is not None
        connection.execute(update(table).values(settings_json={**found.settings_json, "port": 8080}))

    await api.db.write(as_before)
    await report(api, at(3000, made.deployment_id, STARTING))
    assert (await shown(api, made.deployment_id)).port == 8080


async def test_a_stopped_deployment_records_nothing(api: RunningApi, deploy: Deploy) -> None:
    """Promise: a report that comes after the stop changes nothing; a later start uses what was recorded."""
    made = await deploy()
    await api.db.write(place, made.deployment_id)
    await api.db.write(regions.stop, made.deployment_id, NOW)
    await report(api, at(3000, made.deployment_id, STARTING))
    assert await api.db.read(ports.adopted, made.deployment_id) == 0
    await api.db.write(place, made.deployment_id)
    await report(api, at(3000, made.deployment_id, STARTING, NOW + 1))
    await api.db.write(regions.stop, made.deployment_id, NOW)
    await api.db.write(place, made.deployment_id)
    assert [t.adopted_port for t in await topologies(api)] == [3000]


async def test_a_port_out_of_range_is_refused(api: RunningApi, deploy: Deploy) -> None:
    """Promise: what comes from krane is checked at the boundary."""
    made = await deploy()
    with pytest.raises(aio.AioRpcError) as error:
        await report(api, at(70_000, made.deployment_id, STARTING))
    assert refused(error.value)[:3] == (grpc.StatusCode.INVALID_ARGUMENT, "invalid_argument", "instances[0].port")


async def test_what_krane_waits_for_is_shown(api: RunningApi, deploy: Deploy) -> None:
    """Promise: the user reads live why no port could be adopted."""
    made = await deploy()
    await api.db.write(walk_to, made.deployment_id, Status.DEPLOYING)
    await api.db.write(place, made.deployment_id)
    waiting = seen(made.deployment_id, STARTING)
    waiting.port_notice = "the app listens on ports 8000 and 9090"
    await report(api, waiting)
    assert (await shown(api, made.deployment_id)).instances[0].port_notice == waiting.port_notice
