"""What the Restate client promises, against a real server and a small worker."""

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import restate
from aiohttp import web
from restate import ObjectContext, TerminalError, VirtualObject, Workflow, WorkflowContext

from pkg.errors import Internal, Unavailable
from pkg.restate import CONTENT_TYPE, Handler, RestateClient, WorkflowStatus
from pkg.restate.asgi import served_by_hypercorn
from pkg.restate.serde import ProtoSerde
from pkg.restate.serve import answers, bind, serve
from pkg.restate.testing import RestateServer
from pkg.testing.wait import WAIT_S
from sealift.workflow.v1.workflow_pb2 import DeployRequest, DeployResult, Empty

DEPLOY_RUN = Handler("Deploy", "run", DeployRequest, DeployResult)
DEPLOY_GO = Handler("Deploy", "go", Empty, Empty)
COUNTER_ADD = Handler("Counter", "add", Empty, Empty)
IN_OUT: dict[str, Any] = {"accept": CONTENT_TYPE, "content_type": CONTENT_TYPE}


@pytest.fixture(scope="module")
def server() -> Iterator[RestateServer]:
    with RestateServer() as one:
        yield one


@dataclass
class Calls:
    """What the handlers were called with."""

    keys: list[str] = field(default_factory=list)
    traceparents: list[str] = field(default_factory=list)


@pytest.fixture
async def calls(server: RestateServer) -> AsyncIterator[Calls]:
    """A registered worker with a workflow and an object."""
    calls = Calls()
    deploy, counter = Workflow("Deploy"), VirtualObject("Counter")

    @deploy.main(input_serde=ProtoSerde(DeployRequest), output_serde=ProtoSerde(DeployResult), **IN_OUT)
    async def run(ctx: WorkflowContext, request: DeployRequest) -> DeployResult:
        if request.deployment_id == "bad":
            raise TerminalError("no good", status_code=422)
        await ctx.promise("go", serde=ProtoSerde(Empty)).value()
        return DeployResult(deployment_id=request.deployment_id, status="ready")

    @deploy.handler(input_serde=ProtoSerde(Empty), output_serde=ProtoSerde(Empty), **IN_OUT)
    async def go(ctx: restate.WorkflowSharedContext, request: Empty) -> Empty:
        await ctx.promise("go", serde=ProtoSerde(Empty)).resolve(request)
        return Empty()

    @counter.handler(input_serde=ProtoSerde(Empty), output_serde=ProtoSerde(Empty), **IN_OUT)
    async def add(ctx: ObjectContext, _request: Empty) -> Empty:
        calls.keys.append(ctx.key())
        calls.traceparents.append(ctx.request().headers.get("traceparent", ""))
        return Empty()

    over, listener = asyncio.Event(), bind("127.0.0.1:0")
    port = listener.getsockname()[1]
    app = served_by_hypercorn(restate.app([deploy, counter], identity_keys=[server.public_key]))
    task = asyncio.create_task(serve(app, listener, over.wait, grace_s=0.2))
    await answers(port)
    client = RestateClient(server.ingress, server.admin)
    try:
        await client.register(f"http://127.0.0.1:{port}")
        yield calls
    finally:
        await client.close()
        over.set()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def client(server: RestateServer, calls: Calls) -> AsyncIterator[RestateClient]:
    one = RestateClient(server.ingress, server.admin)
    yield one
    await one.close()


def unique(name: str) -> str:
    """A key that no other test uses; with characters that must be quoted."""
    return f"{name}/{secrets.token_hex(4)} ü"


async def test_a_workflow_is_sent_once(client: RestateClient) -> None:
    """Sending again is safe: the same invocation, and not a new one; its status is known from start to end."""
    key = unique("a")
    assert await client.workflow_status(DEPLOY_RUN, key) is WorkflowStatus.UNKNOWN
    first = await client.send(DEPLOY_RUN, key, DeployRequest(deployment_id="dep_1"))
    again = await client.send(DEPLOY_RUN, key, DeployRequest(deployment_id="dep_1"))
    assert first.is_new
    assert (again.invocation_id, again.is_new) == (first.invocation_id, False)
    assert await client.workflow_status(DEPLOY_RUN, key) is WorkflowStatus.RUNNING
    with pytest.raises(Unavailable):
        await client.attach_workflow(DEPLOY_RUN, key, timeout_s=0.1)
    await client.send(DEPLOY_GO, key, Empty())
    result = await client.attach_workflow(DEPLOY_RUN, key)
    assert (result.deployment_id, result.status) == ("dep_1", "ready")
    assert await client.workflow_status(DEPLOY_RUN, key) is WorkflowStatus.COMPLETED


async def test_a_workflow_that_failed(client: RestateClient) -> None:
    """Its own error differs from Restate being away."""
    key = unique("bad")
    await client.send(DEPLOY_RUN, key, DeployRequest(deployment_id="bad"))
    with pytest.raises(Internal, match="no good"):
        await client.attach_workflow(DEPLOY_RUN, key)
    assert await client.workflow_status(DEPLOY_RUN, key) is WorkflowStatus.FAILED


@pytest.mark.parametrize("message", [None, Empty()])
async def test_no_body_is_the_empty_message(client: RestateClient, calls: Calls, message: Empty | None) -> None:
    """A handler of Empty takes both, and the trace goes with it."""
    key, traceparent = unique("b"), f"00-{'a' * 32}-{'b' * 16}-01"
    await client.send(COUNTER_ADD, key, message, traceparent=traceparent)
    await eventually(lambda: key in calls.keys)
    assert "a" * 32 in calls.traceparents[-1]


async def test_an_idempotency_key_makes_a_send_one(client: RestateClient, calls: Calls) -> None:
    """The object is called once for two sends with one key; a delayed one comes later."""
    key = unique("c")
    first = await client.send(COUNTER_ADD, key, None, idempotency_key="k1")
    assert not (await client.send(COUNTER_ADD, key, None, idempotency_key="k1")).is_new
    assert first.is_new
    started = time.monotonic()
    await client.send(COUNTER_ADD, key, None, delay_ms=300)
    await eventually(lambda: calls.keys.count(key) == 2)
    assert time.monotonic() - started >= 0.3


async def test_an_unknown_handler_may_come_yet(client: RestateClient) -> None:
    """Before the worker has registered, a dispatch is to be tried again, not thrown away."""
    with pytest.raises(Unavailable, match="404"):
        await client.send(Handler("Nobody", "run", Empty, Empty), "x", None)


async def test_a_server_that_is_away(client: RestateClient, server: RestateServer) -> None:
    """Every call raises Unavailable while it is down, with the address, and works again afterwards."""
    key = unique("d")
    server.stop(signal.SIGKILL)
    try:
        with pytest.raises(Unavailable, match=r"ingress\.sock"):
            await client.send(COUNTER_ADD, key, None)
        with pytest.raises(Unavailable):
            await client.workflow_status(DEPLOY_RUN, key)
        with pytest.raises(Unavailable):
            await client.register("http://127.0.0.1:1")
    finally:
        server.start()
    assert await client.sql("select 1 as one") == [{"one": 1}]
    await client.send(COUNTER_ADD, key, None)


@pytest.mark.parametrize("body", [b"", b"hello", b"[]", b"null", b'{"status": "Accepted"}', b"\xff"])
async def test_an_answer_that_is_none_is_no_answer(body: bytes) -> None:
    """A proxy's page, or half an answer: the call is repeated, as if the server were away, without another error."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = RestateClient(url, url)
    try:
        with pytest.raises(Unavailable, match="not understood"):
            await client.send(DEPLOY_RUN, "dep_x", None)
        with pytest.raises(Unavailable, match="not understood"):
            await client.sql("select 1")
    finally:
        await client.close()
        await runner.cleanup()


async def test_a_worker_that_does_not_answer_is_not_registered(client: RestateClient) -> None:
    """Registering is tried again until the worker is up."""
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        await client.register("http://127.0.0.1:1")


async def eventually(look: Callable[[], bool], within_s: float = WAIT_S) -> None:
    async with asyncio.timeout(within_s):
        while not look():  # noqa: ASYNC110 - what is waited for lives in another process
            await asyncio.sleep(0.02)
