"""Processes of a deployment over gRPC: recorded with it, sent to the region, reported by it, shown, scaled, refused."""

from typing import Any

import grpc
import pytest
from grpc import aio

from pkg.desired.capabilities import APP_PROCESSES, BASELINE
from pkg.environments.tables import environments
from pkg.regions import processes
from pkg.regions import queries as regions
from sealift.ctrl.v1 import cluster_pb2, deployment_pb2, environment_pb2, log_pb2, project_pb2
from sealift.ctrl.v1.common_pb2 import Process, Processes, RuntimeSettings, StringList
from svc.api.cluster_testing import NOW, place, register, report, seen, until_head
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready
from svc.api.testing import REGION, RunningApi, refused

HEALTHY = deployment_pb2.INSTANCE_STATE_HEALTHY


def with_processes(*values: Process, **settings: Any) -> RuntimeSettings:
    return RuntimeSettings(processes=Processes(values=values), **settings)


def worker(name: str = "worker", command: tuple[str, ...] = ("work",), **fields: Any) -> Process:
    return Process(name=name, command=StringList(values=command), **fields)


@pytest.fixture(autouse=True)
async def epoch(api: RunningApi) -> str:
    return await register(api, capabilities=sorted(BASELINE | {APP_PROCESSES}))


async def shown(api: RunningApi, deployment_id: str) -> deployment_pb2.Deployment:
    request = deployment_pb2.GetDeploymentRequest(deployment_id=deployment_id)
    found: deployment_pb2.Deployment = (await api.admin.deployment.GetDeployment(request)).deployment
    return found


async def test_processes_reach_the_region(api: RunningApi, deploy: Deploy) -> None:
    """Promise: each is complete, with the resources of web where it has none; the message says what it takes."""
    settings = with_processes(worker(replicas=2, memory_mib=64), worker("clock"), memory_mib=256)
    made, plain = await deploy(settings=settings), await deploy()
    assert [(one.name, one.replicas, one.is_stopped) for one in made.processes] == [
        ("clock", 1, False), ("worker", 2, False)
    ]  # fmt: skip
    assert not plain.settings.HasField("processes")
    for one in (made, plain):
        await api.db.write(place, one.deployment_id)
    await api.db.write(processes.stop, made.deployment_id, 1)
    await api.db.write(processes.stop, plain.deployment_id, 1)
    call = api.krane.cluster.WatchDesiredState(
        cluster_pb2.WatchDesiredStateRequest(region=REGION, capabilities=sorted(BASELINE | {APP_PROCESSES}))
    )
    sent = {m.topology.deployment_id: m for m in await until_head(call) if m.HasField("topology")}
    call.cancel()
    message = sent[made.deployment_id]
    assert list(message.required_capabilities) == [APP_PROCESSES]
    assert message.topology.processes_stopped
    clock, work = message.topology.settings.processes.values
    assert (clock.name, clock.replicas, clock.memory_mib, clock.cpu_millicores) == ("clock", 1, 256, 1000)
    assert (work.name, work.replicas, work.memory_mib, list(work.command.values)) == ("worker", 2, 64, ["work"])
    message = sent[plain.deployment_id]
    assert (list(message.required_capabilities), message.topology.processes_stopped) == ([], False)
    assert not message.topology.settings.HasField("processes")
    assert [(one.replicas, one.is_stopped) for one in (await shown(api, made.deployment_id)).processes] == [
        (0, True), (0, True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (worker("web"), "values[0].name"),
        (worker("My Worker"), "values[0].name"),
        (worker("a" * 21), "values[0].name"),
        (worker(command=()), "values[0].command"),
        (worker(command=("",)), "values[0].command.values[0]"),
        (worker(replicas=21), "values[0].replicas"),
        (worker(memory_mib=1), "values[0].memory_mib"),
        (worker(cpu_millicores=0), "values[0].cpu_millicores"),
    ],
)
async def test_what_is_refused(deploy: Deploy, value: Process, field: str) -> None:
    """Promise: bad input is refused with the field that is at fault."""
    with pytest.raises(aio.AioRpcError) as caught:
        await deploy(settings=with_processes(value))
    status, _, found, _ = refused(caught.value)
    assert (status, found) == (grpc.StatusCode.INVALID_ARGUMENT, f"settings.processes.{field}")


async def test_too_many_and_twice(deploy: Deploy) -> None:
    """Promise: at most 10, each name once."""
    for values, field in (
        ([worker(f"w{number}") for number in range(11)], "settings.processes.values"),
        ([worker(), worker()], "settings.processes.values[1].name"),
    ):
        with pytest.raises(aio.AioRpcError) as caught:
            await deploy(settings=with_processes(*values))
        assert refused(caught.value)[2] == field


async def test_reports_of_processes_and_web_stand_side_by_side(api: RunningApi, deploy: Deploy) -> None:
    """Promise: instance 0 of a process is not that of web; what is not listed is forgotten, one by one."""
    made = await deploy(settings=with_processes(worker()))
    web, work = seen(made.deployment_id, HEALTHY, NOW, 0), seen(made.deployment_id, HEALTHY, NOW, 0, "worker")
    work.process = "worker"
    await report(api, web, work, complete=True)
    instances = (await shown(api, made.deployment_id)).instances
    assert [(one.process, one.instance_id) for one in instances] == [("", "app-0"), ("worker", "worker-0")]
    work.state, work.code, work.observed_at = deployment_pb2.INSTANCE_STATE_FAILED, "process.ended", NOW + 1
    await report(api, work)
    assert [one.code for one in await api.db.read(regions.instances_of, made.deployment_id)] == ["", "process.ended"]
    await report(api, web, complete=True)
    assert [one.process for one in (await shown(api, made.deployment_id)).instances] == [""]
    work.process = "No!"
    with pytest.raises(aio.AioRpcError) as caught:
        await report(api, work)
    assert refused(caught.value)[2] == "instances[0].process"


async def test_a_scale_of_a_process(api: RunningApi, project: project_pb2.Project, deploy: Deploy) -> None:
    """Promise: 0 to 20 of a process that is live; another name is refused with those that there are."""
    made = await deploy(settings=with_processes(worker()))
    await api.db.write(make_ready, made.deployment_id, hostname="hello.sealift.localhost")
    listed = await api.admin.environment.ListEnvironments(
        environment_pb2.ListEnvironmentsRequest(project_id=project.project_id)
    )

    async def scale(process: str, replicas: int) -> deployment_pb2.Operation:
        request = environment_pb2.ScaleRequest(
            environment_id=listed.environments[0].environment_id, replicas=replicas, process=process
        )
        answer: environment_pb2.ScaleResponse = await api.admin.environment.Scale(request)
        return answer.operation

    operation = await scale("worker", 0)
    assert (operation.process, operation.replicas) == ("worker", 0)
    for process, replicas, expected in (("worker", 21, "replicas"), ("web", 1, "process")):
        with pytest.raises(aio.AioRpcError) as caught:
            await scale(process, replicas)
        assert refused(caught.value)[2] == expected
    with pytest.raises(aio.AioRpcError) as caught:
        await scale("cron", 1)
    _, code, _, message = refused(caught.value)
    assert (code, "its processes are worker" in message) == ("process.not_found", True)


async def test_a_number_that_does_not_count_is_named(api: RunningApi, deploy: Deploy) -> None:
    """Promise: a deploy whose number of a process is another one than that of the environment says so."""
    made = await deploy(settings=with_processes(worker()))
    scaled = environments.update().where(environments.c.id == made.environment_id)
    await api.db.write(lambda c: c.execute(scaled.values(process_replicas_json={"worker": 3, "gone": 2})))
    other = await deploy(settings=with_processes(worker(replicas=2)))
    assert [(one.name, one.replicas) for one in other.processes] == [("worker", 3)]
    (notice,) = other.notices
    assert "replicas = 2 of process worker does not count: the environment was scaled to 3" in notice
    assert "sealift scale worker=2" in notice
    assert (await deploy(settings=with_processes(worker()))).notices == []
    assert (await deploy(settings=with_processes(worker(replicas=3)))).notices == []


async def test_logs_of_a_process(api: RunningApi, deploy: Deploy) -> None:
    """Promise: only lines of its instances, or with "web" of those that are of no process."""
    made = await deploy(settings=with_processes(worker()))
    owner = made.deployment_id.replace("_", "-")
    batches = [
        log_pb2.LogBatch(
            deployment_id=made.deployment_id,
            instance_id=name,
            source_id=source,
            lines=[log_pb2.ReportedLine(seq=1, at=1000, stream=log_pb2.LOG_STREAM_STDOUT, text=name)],
        )
        for source, name in (("a", f"{owner}-0"), ("b", f"{owner}-worker-0"), ("c", f"{owner}-worker-2-0"))
    ]
    await api.krane.cluster.ReportLogs(log_pb2.ReportLogsRequest(region=REGION, batches=batches))

    async def lines(**fields: Any) -> list[str]:
        request = log_pb2.GetLogsRequest(deployment_id=made.deployment_id, **fields)
        return [line.text async for message in api.admin.deployment.GetLogs(request) for line in message.lines]

    assert len(await lines()) == 3
    for tail in (0, 10):
        assert await lines(process="worker", tail=tail) == [f"{owner}-worker-0"]
        assert await lines(process="worker-2", tail=tail) == [f"{owner}-worker-2-0"]
        assert await lines(process="web", tail=tail) == [f"{owner}-0"]
    for fields, field in (({"process": "A"}, "process"), ({"process": "worker", "instance_ids": ["x"]}, "process")):
        with pytest.raises(aio.AioRpcError) as caught:
            await lines(**fields)
        assert refused(caught.value)[2] == field


async def test_what_a_stop_and_a_start_of_processes_record(api: RunningApi, deploy: Deploy) -> None:
    """Promise: once each; a start forgets what was reported of the processes before, and nothing of web."""
    made = await deploy(settings=with_processes(worker()))
    await api.db.write(place, made.deployment_id)
    work = seen(made.deployment_id, HEALTHY, NOW, 0, "worker")
    work.process = "worker"
    await report(api, seen(made.deployment_id, HEALTHY, NOW, 0), work)
    assert await api.db.write(processes.stop, made.deployment_id, 1)
    assert not await api.db.write(processes.stop, made.deployment_id, 1)
    assert len(await api.db.read(regions.instances_of, made.deployment_id)) == 2
    assert await api.db.write(processes.start, made.deployment_id, 1)
    assert not await api.db.write(processes.start, made.deployment_id, 1)
    assert [one.process for one in await api.db.read(regions.instances_of, made.deployment_id)] == [""]
