"""Promise: an app that speaks HTTP/2 without TLS is probed in it, and one that does not is told what it speaks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from pkg.desired.protocol import AppProtocol
from svc.krane.controller.port_choice import PortProtocol, View, choose, explain
from svc.krane.controller.probes import Target, probe
from svc.krane.controller.protocol_check import ProtocolCheck
from svc.krane.controller.protocol_probe import ask_http2
from svc.krane.controller.topology import HealthRule

GRPC_HEALTH = "/grpc.health.v1.Health/Check"
HOSTS = ("own.example", "app.example")
RULE = HealthRule("", 1, True, False, 1.0, 1.0, start_timeout_s=1.0, protocol=AppProtocol.H2C)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def answering(status_of: Callable[[dict[str, str]], int]) -> Serve:
    """An HTTP/2 app without gRPC; 0: it closes the connection at the request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while data := await reader.read(65_536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    fields = {str(name): str(value) for name, value in event.headers or ()}
                    if not (status := status_of(fields)):
                        return
                    connection.send_headers(event.stream_id or 0, [(":status", str(status))], end_stream=True)
            writer.write(connection.data_to_send())

    return serve


async def http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1024)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


def target(port: int, path: str = "", timeout_s: float = 2.0) -> Target:
    return Target("127.0.0.1", port, path, HOSTS, timeout_s, connect_s=timeout_s, protocol=AppProtocol.H2C)


@asynccontextmanager
async def grpc_app(status: "health_pb2.HealthCheckResponse.ServingStatus.ValueType | None") -> AsyncIterator[int]:
    """A real gRPC server; with a health service that says `status`, or without one."""
    server = aio.server()
    if status is not None:
        servicer = health.aio.HealthServicer()
        await servicer.set("", status)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


async def test_a_grpc_server_without_a_path_is_greeted() -> None:
    """No call is made, so no method is needed; it is enough that the connection begins with HTTP/2."""
    async with grpc_app(None) as port:
        for _ in range(3):
            result = await probe(target(port))
            assert (result.is_ok, result.text) == (True, f"port {port} speaks HTTP/2")


async def test_the_health_service_of_grpc_is_called() -> None:
    """SERVING is healthy; anything else, or none, is not, with its word."""
    states = health_pb2.HealthCheckResponse
    async with grpc_app(states.SERVING) as port:
        result = await probe(target(port, GRPC_HEALTH))
        assert (result.is_ok, result.is_answered) == (True, True)
    async with grpc_app(states.NOT_SERVING) as port:
        result = await probe(target(port, GRPC_HEALTH))
        assert (result.is_ok, result.text) == (
            False,
            f"{GRPC_HEALTH} answered NOT_SERVING; SERVING would be healthy",
        )
    async with grpc_app(None) as port:
        assert "grpc-status 12" in (await probe(target(port, GRPC_HEALTH))).text


async def test_a_path_is_asked_as_ever() -> None:
    """The status decides, and a host that the app does not know is not the app's end."""
    async with served(answering(lambda fields: 204 if fields[":path"] == "/up?x" else 500)) as port:
        assert (await probe(target(port, "/up?x"))).text == "GET /up?x answered 204"
        result = await probe(target(port, "/other"))
        assert (result.is_ok, result.text) == (False, "GET /other answered 500; 200 to 399 would be healthy")
    async with served(answering(lambda fields: 200 if fields[":authority"] == HOSTS[1] else 403)) as port:
        assert (await probe(target(port, "/up"))).host == HOSTS[1]
    async with served(answering(lambda _: 0)) as port:
        result = await probe(target(port, "/up"))
        assert (result.is_ok, result.is_foreign) == (False, False)
        assert "ended the request without an answer" in result.text


@pytest.mark.parametrize("path", ["", "/up", GRPC_HEALTH])
async def test_what_speaks_no_http2_is_said_so(path: str) -> None:
    """An app of HTTP/1.1 does not go live with the wrong setting; it learns which of the two to change."""
    async with served(http1) as port:
        check = ProtocolCheck(RULE)
        result = await probe(target(port, path))
        assert (result.is_ok, result.is_foreign) == (False, True)
        refusal = await check.checked(target(port, path), result)
        assert (refusal.is_ok, refusal.is_foreign) == (False, True)
        assert f"port {port} speaks HTTP, but [run] protocol is h2c" in refusal.text
        assert 'leave [run] protocol = "h2c" out' in refusal.text
    async with served(silent) as port:
        result = await probe(target(port, path, timeout_s=0.2))
        assert (result.is_ok, "no answer within 200 ms" in result.text) == (False, True)


@pytest.mark.parametrize("path", ["", "/up", GRPC_HEALTH])
@pytest.mark.parametrize(
    "planted",
    [
        b"",
        b"\xff" * 64,
        b"\0\0\x04\x01\x05\0\0\0\x01\x88\x40\x01\xff",  # a name that is no UTF-8
        b"\0\0\x05\x01\x05\0\0\0\x01\x48\x03abc",  # a status that is no number
        b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x02",  # GOAWAY before any answer
        b"\0\xff\xff\x01\x05\0\0\0\x01",
    ],
)
async def test_nonsense_is_an_unhealthy_answer(path: str, planted: bytes) -> None:
    """Whatever follows the settings, a probe says so and raises nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(b"\0\0\0\x04\0\0\0\0\0" + planted)
        await writer.drain()

    async with served(serve) as port:
        result = await probe(target(port, path, timeout_s=1))
    assert not (path and result.is_ok), result
    assert result.text


@pytest.mark.parametrize("path", ["/up", GRPC_HEALTH])
@pytest.mark.parametrize(
    ("status", "grpc_status"), [("2" * 5000, ""), ("2000", ""), ("0200", ""), ("200", "9" * 9000), ("200", "\x1b[31m")]
)
async def test_an_answer_of_any_length_is_a_short_text(path: str, status: str, grpc_status: str) -> None:
    """The probe raises nothing, and what the app sent for a status fills no report."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False))
        connection.initiate_connection()
        headers = [(":status", status), *([("grpc-status", grpc_status)] if grpc_status else [])]
        while data := await reader.read(65_536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    connection.send_headers(event.stream_id or 0, headers, end_stream=True)
            writer.write(connection.data_to_send())

    async with served(serve) as port:
        result = await probe(target(port, path))
    assert result.is_ok == (path == "/up" and status == "200")
    assert len(result.text) < 120
    assert result.text.isprintable()


@pytest.mark.parametrize("path", ["/up", GRPC_HEALTH])
@pytest.mark.parametrize("frame", [b"\0\0\x08\x06\0\0\0\0\0ping-me!", b"\0\0\0\x04\0\0\0\0\0", b"\0\0\0\x20\0\0\0\0\0"])
async def test_a_flood_of_frames_ends(path: str, frame: bytes) -> None:
    """An app that sends pings, settings or unknown frames for ever takes no more than its share of krane's time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0\0\0\x04\0\0\0\0\0")
        while True:
            writer.write(frame * 1000)
            await writer.drain()

    async with served(serve) as port:
        result = await probe(target(port, path, timeout_s=10))
    assert not result.is_ok
    assert result.text == f"{path}: the app sent more than 96 KiB without an answer"


async def test_a_long_page_is_an_answer() -> None:
    """As much as an app may send before it is read."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        while data := await reader.read(65_536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    stream = event.stream_id or 0
                    connection.send_headers(stream, [(":status", "200"), *((f"x-{n}", "y" * 100) for n in range(200))])
                    for _ in range(3):
                        connection.send_data(stream, b"z" * 16_384)
            writer.write(connection.data_to_send())

    async with served(serve) as port:
        assert (await probe(target(port, "/up"))).is_ok


async def test_a_refused_connection_is_known_as_one() -> None:
    """So that its port is searched for."""
    async with served(silent) as port:
        pass
    assert (await probe(target(port))).is_refused


async def test_the_port_of_a_grpc_app_is_found() -> None:
    """Among the open ports the one that speaks HTTP/2 is adopted; one of HTTP/1.1 is no rival."""
    async with grpc_app(None) as rpc, served(http1) as web:
        answers = {port: await ask_http2("127.0.0.1", port, hosts=HOSTS, path="", timeout_s=2) for port in (rpc, web)}
    assert {port: one.protocol for port, one in answers.items()} == {rpc: PortProtocol.HTTP2, web: PortProtocol.HTTP}
    listening = {("0.0.0.0", rpc), ("0.0.0.0", web)}
    view = View(1, listening, answers=answers, stable_s=60, protocol=AppProtocol.H2C)
    assert choose(view).port == rpc
    http = View(1, {("0.0.0.0", rpc)}, answers={rpc: answers[rpc]}, stable_s=60)
    assert choose(http).port == 0
    assert 'set [run] protocol = "h2c"' in explain(http)
    wrong = View(1, {("0.0.0.0", web)}, answers={web: answers[web]}, stable_s=60, protocol=AppProtocol.H2C)
    assert "no port of the app answers HTTP/2" in explain(wrong)
