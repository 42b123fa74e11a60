"""Streams that survive lost connections; a lost stream is not a failed deployment."""

import asyncio

import grpc
import pytest

from sealift.client import follow
from sealift.client.client import Client
from sealift.client.errors import AuthError, NotFoundError, UnreachableError
from sealift.client.follow import follow_build, follow_build_logs, follow_deployment, follow_operation
from sealift.client.retry import ONCE
from sealift.client.testing import FakeServer
from sealift.client.testing_deployment import FakeDeployment, waits_for_cancel
from sealift.ctrl.v1 import build_pb2, deployment_pb2

AWAY = grpc.StatusCode.UNAVAILABLE
READY = deployment_pb2.DEPLOYMENT_STATUS_READY


async def create(client: Client, *, image: bool = False) -> deployment_pb2.Deployment:
    request = deployment_pb2.CreateDeploymentRequest(project_id="proj_hello", environment_slug="production")
    if image:
        request.docker_image = "x"
    else:
        request.build_context.build_context_path = "contexts/x"
    return (await client.create_deployment(request)).deployment


async def test_ends_with_the_terminal_state(server: FakeServer) -> None:
    """Promise: the last state is the terminal one."""
    async with Client(server.endpoint) as client:
        made = await create(client)
        states = [state async for state in follow_deployment(client, made.deployment_id)]
    assert states[-1].status == READY


async def test_cut_streams_are_resumed(server: FakeServer) -> None:
    """Promise: with every stream cut after one message, the outcome and each log event still arrive, once, in order."""
    server.cut_streams_after = 1

    async def slowly(fake: FakeDeployment) -> None:
        await fake.begin("building")
        for number in range(8):
            await fake.line("a", str(number))
            await asyncio.sleep(0)
        await fake.end_build(build_pb2.BUILD_STATUS_SUCCEEDED)
        await fake.end(READY)

    server.scenario = slowly
    async with Client(server.endpoint) as client:
        made = await create(client)
        events = [event async for event in follow_build_logs(client, made.build_id)]
        states = [state async for state in follow_deployment(client, made.deployment_id, poll_s=0.01)]
    assert [event.line.text for event in events[:-1]] == [str(n) for n in range(8)]
    assert events[-1].WhichOneof("event") == "end"
    assert states[-1].status == READY


async def test_streams_that_never_work(server: FakeServer) -> None:
    """Promise: if streams fail permanently, polling delivers the outcome."""
    server.faults["WatchDeployment"] = [AWAY] * 1000
    server.scenario = waits_for_cancel
    async with Client(server.endpoint, first=ONCE, retry=ONCE) as client:
        made = await create(client)
        states = []
        async for state in follow_deployment(client, made.deployment_id, poll_s=0.01):
            states.append(state)
            if len(states) == 5:
                await client.cancel_deployment(made.deployment_id)
    assert states[-1].status == deployment_pb2.DEPLOYMENT_STATUS_CANCELLED


async def test_outage_is_told_and_survived(server: FakeServer) -> None:
    """Promise: an outage and its end are each reported once."""
    server.faults["WatchDeployment"] = [AWAY] * 4
    server.faults["GetDeployment"] = [AWAY] * 4
    told: list[str] = []
    async with Client(server.endpoint, first=ONCE, retry=ONCE) as client:
        made = await create(client)
        following = follow_deployment(client, made.deployment_id, poll_s=0.01, notice=told.append)
        states = [state async for state in following]
    assert states[-1].status == READY
    assert len(told) == 2
    assert told[0].startswith("lost the connection")
    assert told[1] == "reconnected"


async def test_an_outage_is_told_while_calls_are_still_repeated(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: an outage is reported soon, before the retries end; cancelling ends the retries."""
    monkeypatch.setattr(follow, "NOTICE_AFTER_S", 0.05)
    told = asyncio.Event()
    async with Client(server.endpoint) as client:
        made = await create(client)
        server.faults["WatchDeployment"] = [AWAY] * 1000
        server.faults["GetDeployment"] = [AWAY] * 1000
        states = follow_deployment(client, made.deployment_id, notice=lambda _: told.set())
        following = asyncio.ensure_future(anext(states))
        await asyncio.wait_for(told.wait(), 60)
        assert server.calls["GetDeployment"] < 10
        following.cancel()
        await asyncio.wait({following})
        assert following.cancelled()


async def test_gives_up_on_a_server_that_stays_away(server: FakeServer) -> None:
    """Promise: waiting for an unreachable server has a limit."""
    async with Client(server.endpoint, first=ONCE, retry=ONCE) as client:
        made = await create(client)
        server.faults["WatchDeployment"] = [AWAY] * 1000
        server.faults["GetDeployment"] = [AWAY] * 1000
        with pytest.raises(UnreachableError):
            async for _ in follow_deployment(client, made.deployment_id, poll_s=0.01, give_up_s=0.05):
                pass


async def test_no_repeat_can_help(server: FakeServer) -> None:
    """Promise: an unknown id or a revoked key ends the wait at once."""
    async with Client(server.endpoint) as client:
        with pytest.raises(NotFoundError):
            await anext(follow_deployment(client, "dep_x"))
        server.faults["WatchDeployment"] = [grpc.StatusCode.UNAUTHENTICATED]
        with pytest.raises(AuthError):
            await anext(follow_deployment(client, "dep_x"))


async def test_logs_resume_after_a_number(server: FakeServer) -> None:
    """Promise: a log continues after the last seq; without follow it ends after the stored events."""
    async with Client(server.endpoint) as client:
        made = await create(client)
        everything = [event.seq async for event in follow_build_logs(client, made.build_id) if event.seq]
        rest = [event.seq async for event in follow_build_logs(client, made.build_id, after_seq=3, follow=False)]
    assert everything == list(range(1, len(everything) + 1))
    assert rest == everything[3:-1]


async def test_operation(server: FakeServer) -> None:
    """Promise: operations are followed like deployments."""
    async with Client(server.endpoint) as client:
        made = await create(client, image=True)
        async for _ in follow_deployment(client, made.deployment_id):
            pass
        operation = await client.promote(made.deployment_id)
        states = [state async for state in follow_operation(client, operation.operation_id)]
    assert states[-1].status == deployment_pb2.OPERATION_STATUS_DONE


async def test_a_build_is_followed_to_its_end(server: FakeServer) -> None:
    """Promise: an event wakes the next poll, a server that is away is asked again, the last state is terminal."""
    server.scenario = waits_for_cancel
    seen: list[int] = []
    async with Client(server.endpoint) as client:
        made = await client.create_build(build_pb2.CreateBuildRequest(project_id="proj_hello"))
        build_id, changed = made.build.build_id, asyncio.Event()
        async with asyncio.timeout(60):
            async for build in follow_build(client, build_id, changed=changed):
                seen.append(build.status)
                if len(seen) == 1:
                    server.faults["GetBuild"] = [AWAY] * 2
                    await client.cancel_build(build_id)
                    changed.set()
        assert [one.build_id for one in await client.builds("proj_hello")] == [build_id]
    assert seen[-1] == build_pb2.BUILD_STATUS_CANCELLED
