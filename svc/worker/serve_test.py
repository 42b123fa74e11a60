"""What the worker's server promises, with a real Restate on the other end."""

import asyncio
from contextlib import suppress
from pathlib import Path

import aiohttp
import hypercorn.protocol
import pytest
from h2.events import Event
from hypercorn.protocol.h2 import H2Protocol

from pkg.deployments.status import Status
from pkg.restate import hypercorn_patches, serve
from pkg.restate.testing import RestateServer
from pkg.testing.wait import WAIT_S
from pkg.workflows.objects import SLOT_RELEASE
from sealift.workflow.v1.workflow_pb2 import SlotRequest
from svc.worker.app import create_app
from svc.worker.testing.harness import WorkerHarness, worker_harness


async def test_requests_that_restate_did_not_sign_are_refused(harness: WorkerHarness) -> None:
    """Anyone on loopback can reach the port, but only Restate can call a handler; /health answers everyone."""
    listener = serve.bind("127.0.0.1:0")
    port = listener.getsockname()[1]
    over = asyncio.Event()
    public_key = harness.deps.config.restate.identity_public_key
    serving = asyncio.create_task(serve.serve(create_app(harness.deps, [public_key]), listener, over.wait, grace_s=0.2))
    await serve.answers(port)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            for path in ("/discover", "/invoke/Deploy/run", "/invoke/Routing/assign"):
                async with http.post(path, data=b"") as refused:
                    assert refused.status == 401
            async with http.get("/health") as up:
                assert up.status == 200
    finally:
        over.set()
        await serving


async def test_connections_of_strangers_are_bounded(harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent connections neither keep Restate out nor hold descriptors for ever."""
    monkeypatch.setattr(hypercorn_patches, "HTTP2_WITHIN_S", 0.5)
    listener = serve.bind("127.0.0.1:0")
    port = listener.getsockname()[1]
    over = asyncio.Event()
    public_key = harness.deps.config.restate.identity_public_key
    serving = asyncio.create_task(serve.serve(create_app(harness.deps, [public_key]), listener, over.wait, grace_s=0.2))
    await serve.answers(port)
    try:
        many = hypercorn_patches.MAX_CONNECTIONS + 10
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(many)]
        ended = await asyncio.wait_for(asyncio.gather(*(one.read() for one, _ in held), return_exceptions=True), WAIT_S)
        assert all(isinstance(each, ConnectionResetError) or each == b"" for each in ended)
        for _, writer in held:
            writer.close()

        async def is_up() -> bool:
            with suppress(aiohttp.ClientError):
                async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/health") as up:
                    return up.status == 200
            return False

        await harness.until(is_up, "there is room again")
    finally:
        over.set()
        await serving


async def test_a_connection_that_breaks_costs_a_retry(harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in the server ends its connection at once, and what ran on it continues over a new one.

    The SDK alone would keep it half open until Restate's abort timeout.
    """
    broken = asyncio.Event()
    kind = hypercorn.protocol.H2Protocol  # type: ignore[attr-defined]
    real = kind._handle_events

    async def breaks_once(self: H2Protocol, events: list[Event]) -> None:
        if harness.builder.running and not broken.is_set():
            broken.set()
            raise RuntimeError("a fault in the server")
        await real(self, events)

    # logged by asyncio as an unhandled error of the connection's task, which it is
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    monkeypatch.setattr(kind, "_handle_events", breaks_once)
    harness.builder.hold.clear()
    deployment_id = await harness.deploy()
    await harness.until(lambda: harness.running(1), "the build runs")
    await harness.deps.restate.send(SLOT_RELEASE, harness.workspace_id, SlotRequest(build_id="bld_none"))
    await asyncio.wait_for(broken.wait(), WAIT_S)
    harness.builder.hold.set()
    await harness.ended(deployment_id, Status.READY)


async def test_a_stop_leaves_the_work_to_the_next_worker(restate_server: RestateServer, tmp_path: Path) -> None:
    """The server ends within its grace while a build runs; see tests/integration for what the next one does."""
    async with worker_harness(restate_server, tmp_path) as harness:
        harness.builder.hold.clear()
        await harness.deploy()
        await harness.until(lambda: harness.running(1), "the build runs")
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < 5
    assert len(harness.builder.cancelled) == 1
