"""Apps that speak HTTP/2 by prior knowledge: gRPC passes whole, and a request is still sent once."""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from grpc import aio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, RequestReceived

from pkg.desired.protocol import AppProtocol
from pkg.desired.route import STOPPED, Route
from pkg.testing.wait import WAIT_S
from svc.krane.ingress.port import Endpoint
from svc.krane.ingress.testing import IngressHarness, Upstream, get, running_ingress, until
from svc.krane.ingress.testing_grpc import Echo, serving
from svc.krane.ingress.testing_raw import LoopbackServer, RawClient, ask
from svc.krane.testing.routes import routes_to

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "rpc.sealift.localhost"
MIB = 1 << 20


class Rig:
    """An ingress with a gRPC app behind it."""

    def __init__(self, up: IngressHarness, app: Echo, channel: aio.Channel) -> None:
        self.up = up
        self.app = app
        self.channel = channel

    async def unary(self, method: str, request: bytes = b"", timeout_s: float = 10) -> bytes:
        """One call."""
        reply: bytes = await self.channel.unary_unary(f"/t.Echo/{method}")(request, timeout=timeout_s)
        return reply


def channel_to(port: int, hostname: str = HOST) -> aio.Channel:
    return aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.default_authority", f"{hostname}:{port}")])


async def lead(up: IngressHarness, version: int, deployment_id: str, *endpoints: Endpoint) -> None:
    up.ingress.set_protocols({deployment_id: AppProtocol.H2C})
    up.ingress.set_endpoints(deployment_id, list(endpoints))
    up.ingress.set_routes(routes_to({HOST: deployment_id}), version)
    assert (await up.ingress.wait_version(version, WAIT_S)).version == version


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig() -> AsyncIterator[Rig]:
    """Shared by the tests of the module."""
    app = Echo()
    with tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as name:
        async with running_ingress(Path(name)) as up, serving(app) as (_, endpoint):
            await lead(up, 1, "dep_rpc", endpoint)
            async with channel_to(up.port) as channel:
                yield Rig(up, app, channel)


async def test_calls_of_every_kind_pass(rig: Rig) -> None:
    """Unary and the three kinds of stream, messages of megabytes, both ways at once."""
    assert await rig.unary("Unary", b"hello") == b"hello"
    assert await rig.unary("Unary", b"x" * (3 * MIB)) == b"x" * (3 * MIB)
    down = [len(one) async for one in rig.channel.unary_stream("/t.Echo/Down")(b"50", timeout=WAIT_S)]
    assert down == [100_000] * 50

    async def up() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 100_000

    assert await rig.channel.stream_unary("/t.Echo/Up")(up(), timeout=WAIT_S) == b"5000000"
    call = rig.channel.stream_stream("/t.Echo/Both")(timeout=WAIT_S)
    for number in range(20):
        await call.write(b"%d" % number)
        assert await call.read() == b"%d" % number
    await call.done_writing()
    assert await call.read() is aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_metadata_and_trailers_pass(rig: Rig) -> None:
    """What the client and the app say beside the messages, binary values too; the ingress adds whose request it is."""
    call = rig.channel.unary_unary("/t.Echo/Unary")(
        b"", metadata=(("x-own", "1"), ("x-own-bin", b"\x01")), timeout=WAIT_S
    )
    await call
    trailers = dict(await call.trailing_metadata())
    assert (trailers["x-sum"], trailers["x-raw-bin"]) == ("42", b"\x00\xff")
    headers = dict(await call.initial_metadata())
    assert headers["x-sealift-deployment"] == "dep_rpc"
    assert headers["x-request-id"] == rig.app.metadata["x-request-id"]
    assert rig.app.metadata["x-own"] == "1"
    assert rig.app.metadata["x-forwarded-host"].startswith(HOST)
    assert "connection" not in rig.app.metadata


async def test_errors_of_the_app_are_its_own(rig: Rig) -> None:
    """Status, message and trailers arrive as they were sent; an unknown method is the app's UNIMPLEMENTED."""
    with pytest.raises(aio.AioRpcError) as caught:
        await rig.unary("Fail")
    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "přeplněno, 100 %",
    )
    assert dict(caught.value.trailing_metadata())["x-why"] == "full"
    with pytest.raises(aio.AioRpcError) as caught:
        await rig.unary("Nothing")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "x-sealift-error" not in dict(caught.value.trailing_metadata())


async def test_deadlines_and_cancellation_reach_the_app(rig: Rig) -> None:
    """The app learns how long the client waits, and that it has gone."""
    await rig.unary("Unary", timeout_s=100)
    assert 20 < rig.app.deadline_s < 102
    rig.app.cancelled.clear()
    call = rig.channel.unary_stream("/t.Echo/Wait")(b"")
    assert await call.read() == b"begun"
    call.cancel()
    async with asyncio.timeout(WAIT_S):
        await rig.app.cancelled.wait()
    rig.app.cancelled.clear()
    for deadline_s in (0.3, 3, 30):  # on a busy machine, the first may pass before the app has the call
        call = rig.channel.unary_stream("/t.Echo/Wait")(b"", timeout=deadline_s)
        first = b""
        with contextlib.suppress(aio.AioRpcError):
            first = await call.read()
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if first:
            break
    async with asyncio.timeout(WAIT_S):
        await rig.app.cancelled.wait()


async def test_http1_clients_reach_the_app_too(rig: Rig) -> None:
    """A gRPC call over HTTP/1.1 is no gRPC, but what carries it passes, trailers included."""
    head = f"POST /t.Echo/Unary HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/grpc\r\nTE: trailers\r\n"
    answer = await ask(rig.up.port, head.encode() + b"Content-Length: 5\r\n\r\n\0\0\0\0\0")
    assert (answer.status, answer.body) == (200, b"\0\0\0\0\0")
    assert (b"grpc-status", b"0") in answer.trailers


async def test_many_calls_share_few_connections(rig: Rig) -> None:
    """HTTP/2 says which requests were seen, so none needs a connection of its own."""
    before = rig.app.calls
    await asyncio.gather(*(rig.unary("Unary", b"x") for _ in range(200)))
    assert rig.app.calls == before + 200
    stats = json.loads(await rig.up.envoy.admin("/stats?format=json&filter=cluster.dep_rpc.upstream_cx_total"))
    assert stats["stats"][0]["value"] < 30


async def test_what_the_ingress_refuses_is_a_grpc_status(rig: Rig) -> None:
    """Unknown host, stopped, no healthy instance, an instance that is gone: a status, words, a code to look up."""
    gone = "gone.sealift.localhost"
    rig.up.ingress.set_protocols({"dep_down": AppProtocol.H2C, "dep_gone": AppProtocol.H2C})
    server = await Upstream("a").start()
    endpoint = server.endpoint()
    await server.stop()
    rig.up.ingress.set_endpoints("dep_gone", [endpoint])
    rig.up.ingress.set_endpoints("dep_down", [Endpoint("127.0.0.1", endpoint.port, healthy=False)])
    table = routes_to({HOST: "dep_rpc", "down.x": "dep_down", gone: "dep_gone"})
    rig.up.ingress.set_routes({**table, "stopped.x": Route.answering("stopped.x", STOPPED)}, 2)
    await rig.up.ingress.wait_version(2, WAIT_S)
    for hostname, status, code in (
        ("typo.x", grpc.StatusCode.UNIMPLEMENTED, "ingress.unknown_host"),
        ("stopped.x", grpc.StatusCode.UNAVAILABLE, "ingress.stopped"),
        ("down.x", grpc.StatusCode.UNAVAILABLE, "ingress.no_healthy_instance"),
        (gone, grpc.StatusCode.UNAVAILABLE, "ingress.no_connection"),
    ):
        async with channel_to(rig.up.port, hostname) as channel:
            with pytest.raises(aio.AioRpcError) as caught:
                await channel.unary_unary("/t.Echo/Unary")(b"", timeout=WAIT_S)
        fields = dict(caught.value.trailing_metadata() or ()) | dict(caught.value.initial_metadata() or ())
        assert (caught.value.code(), fields["x-sealift-error"]) == (status, code)
        assert hostname in (caught.value.details() or "")
        assert fields["x-request-id"]


class Frames(LoopbackServer):
    """An app that answers each request by what `answer` does with its HTTP/2 connection."""

    def __init__(self, answer: "Callable[[Frames, H2Connection, int], None]") -> None:
        super().__init__()
        self.streams: list[str] = []
        self.connections = 0
        self._answer = answer

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """See `LoopbackServer`."""
        self.connections += 1
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.local_settings.enable_connect_protocol = 1
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while data := await reader.read(65_536):
            for event in connection.receive_data(data):
                if connection.state_machine.state.name == "CLOSED":
                    break  # what came after a GOAWAY was never seen
                if isinstance(event, RequestReceived):
                    self.streams.append(dict(event.headers or ())[":path"])  # type: ignore[arg-type, index]
                    self._answer(self, connection, event.stream_id or 0)
                elif isinstance(event, DataReceived) and self.streams[-1] == "/ws":
                    connection.send_data(event.stream_id or 0, event.data or b"")
                elif isinstance(event, ConnectionTerminated):
                    return
            writer.write(connection.data_to_send())
            await writer.drain()
            if connection.state_machine.state.name == "CLOSED":
                return


def _ok(connection: H2Connection, stream: int) -> None:
    connection.send_headers(stream, [(":status", "200"), ("content-length", "2")])
    connection.send_data(stream, b"ok", end_stream=True)


@contextlib.asynccontextmanager
async def framed(
    short_dir: Path, answer: Callable[[Frames, H2Connection, int], None]
) -> AsyncIterator[tuple[IngressHarness, Frames]]:
    app = await Frames(answer).start()
    async with running_ingress(short_dir) as up:
        await lead(up, 1, "dep_f", app.endpoint())
        try:
            yield up, app
        finally:
            await app.stop()


async def _post(port: int, path: str) -> int:
    request = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi"
    return (await ask(port, request.encode())).status


async def test_a_refused_stream_is_sent_again(short_dir: Path) -> None:
    """REFUSED_STREAM and a GOAWAY below the stream both say that nothing was done with the request, a POST too."""

    def answer(app: Frames, connection: H2Connection, stream: int) -> None:
        if len(app.streams) == 1:
            connection.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
        elif len(app.streams) == 3:
            connection.close_connection(last_stream_id=0)
        else:
            _ok(connection, stream)

    async with framed(short_dir, answer) as (up, app):
        assert await _post(up.port, "/refused") == 200
        assert await _post(up.port, "/goaway") == 200
        assert app.streams == ["/refused", "/refused", "/goaway", "/goaway"]


async def test_what_the_app_may_have_seen_is_never_sent_again(short_dir: Path) -> None:
    """An abrupt end, an internal error, a GOAWAY that counts the stream: 502, once."""

    def answer(app: Frames, connection: H2Connection, stream: int) -> None:
        if app.streams[-1] == "/reset":
            connection.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)
        elif app.streams[-1] == "/goaway":
            connection.close_connection(ErrorCodes.INTERNAL_ERROR, last_stream_id=stream)
        else:
            raise ConnectionError

    async with framed(short_dir, answer) as (up, app):
        for path in ("/reset", "/goaway", "/abort"):
            assert await _post(up.port, path) == 502
        assert app.streams == ["/reset", "/goaway", "/abort"]


async def test_a_graceful_goaway_loses_nothing(short_dir: Path) -> None:
    """A server that ends each connection after some requests, as gRPC's max_connection_age does."""

    def answer(app: Frames, connection: H2Connection, stream: int) -> None:
        _ok(connection, stream)
        if stream >= 61:
            connection.close_connection(last_stream_id=stream)

    async with framed(short_dir, answer) as (up, app):
        statuses = await asyncio.gather(*(_post(up.port, f"/{number}") for number in range(100)))
        assert statuses == [200] * 100
        assert app.connections > 1


async def test_a_websocket_is_an_extended_connect(short_dir: Path) -> None:
    """An app that knows RFC 8441 gets the WebSocket of an HTTP/1.1 client."""

    def answer(app: Frames, connection: H2Connection, stream: int) -> None:
        connection.send_headers(stream, [(":status", "200")])

    async with framed(short_dir, answer) as (up, _):
        client = await RawClient.connect(up.port)
        head = f"GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        await client.send(head.encode() + b"Sec-WebSocket-Key: x\r\n\r\n")
        assert (await client.answer()).status == 101
        await client.send(b"\x00\xff frame")
        assert await asyncio.wait_for(client.reader.readexactly(8), WAIT_S) == b"\x00\xff frame"
        client.close()


async def test_a_version_that_speaks_another_protocol_takes_over(short_dir: Path) -> None:
    """From HTTP/1.1 to HTTP/2 and back, without a failed request: each deployment has a cluster of its own."""
    old, failures, stop = await Upstream("old").start(), list[str](), asyncio.Event()
    new = await Frames(lambda _, connection, stream: _ok(connection, stream)).start()
    async with running_ingress(short_dir) as up:
        up.ingress.set_endpoints("dep_old", [old.endpoint()])
        up.ingress.set_routes(routes_to({HOST: "dep_old"}), 1)
        await up.ingress.wait_version(1, WAIT_S)

        async def load() -> None:
            while not stop.is_set():
                answer = await get(up.port, HOST)
                if answer.body not in ("old", "ok"):
                    failures.append(f"{answer.status} {answer.body}")

        clients = [asyncio.create_task(load()) for _ in range(4)]
        await lead(up, 2, "dep_new", new.endpoint())
        seen = len(new.streams)
        await until(lambda: len(new.streams) > seen + 20, "the new version answers")
        up.ingress.set_routes(routes_to({HOST: "dep_old"}), 3)
        await up.ingress.wait_version(3, WAIT_S)
        before = old.requests
        await until(lambda: old.requests > before + 20, "the old version answers again")
        stop.set()
        await asyncio.gather(*clients)
    await old.stop()
    await new.stop()
    assert failures == []


async def test_an_instance_that_ends_in_a_stream_is_told_so(rig: Rig) -> None:
    """A client whose stream breaks off gets UNAVAILABLE, not silence."""
    app = Echo()
    async with serving(app) as (server, endpoint):
        await lead(rig.up, 3, "dep_ending", endpoint)
        call = rig.channel.unary_stream("/t.Echo/Wait")(b"", timeout=WAIT_S)
        assert await call.read() == b"begun"
        await server.stop(0)
        with pytest.raises(aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
