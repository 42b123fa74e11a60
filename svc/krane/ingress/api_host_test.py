"""The api under a hostname of its own, at a real Envoy: what of it is reached, and what never is."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
from aiohttp import web

from pkg.testing.ports import free_port
from pkg.testing.wait import WAIT_S
from svc.krane.ingress.ads import AdsServer
from svc.krane.ingress.api_host import ApiSpec
from svc.krane.ingress.ingress import EnvoyIngress
from svc.krane.ingress.listener import ListenerSpec
from svc.krane.ingress.port import Applied, Challenge
from svc.krane.ingress.testing import TRUSTED, IngressHarness, get, running_ingress
from svc.krane.ingress.testing_raw import RawApp, ask, raw_app
from svc.krane.ingress.testing_tls import Http2Client, http2
from svc.krane.testing.certificates import by_id, certificate
from svc.krane.testing.routes import routes_to

HOST, APP = "deploy.example", "app.example"
SERVICE = "sealift.ctrl.v1.EchoService"
UPLOAD_MIB = 256


class Api:
    """An api: gRPC and HTTP on two ports of the loopback, as svc/api has them.

    Attributes:
        paths: What its HTTP was asked for.
        peers: What gRPC calls said of their clients.
    """

    def __init__(self) -> None:
        self.grpc_port, self.http_port = free_port(), free_port()
        self.paths: list[str] = []
        self.peers: list[str] = []
        self._server: grpc.aio.Server | None = None
        self._runner: web.AppRunner | None = None

    def spec(self, *, is_plain_allowed: bool = True) -> ApiSpec:
        return ApiSpec(HOST, ("127.0.0.1", self.grpc_port), ("127.0.0.1", self.http_port), is_plain_allowed)

    async def start(self) -> None:
        server = grpc.aio.server()
        handlers = {
            "Say": grpc.unary_unary_rpc_method_handler(self._say),
            "Count": grpc.unary_stream_rpc_method_handler(self._count),
            "Chat": grpc.stream_stream_rpc_method_handler(self._chat),
        }
        everything = [(SERVICE, handlers), ("grpc.health.v1.Health", {"Check": handlers["Say"]})]
        server.add_generic_rpc_handlers(
            tuple(grpc.method_handlers_generic_handler(name, methods) for name, methods in everything)
        )
        server.add_insecure_port(f"127.0.0.1:{self.grpc_port}")
        await server.start()
        app = web.Application(client_max_size=2 << 30)
        app.router.add_route("*", "/{tail:.*}", self._http)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.http_port).start()
        self._server = server

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
        if self._runner is not None:
            await self._runner.cleanup()
        self._server = self._runner = None

    async def _say(self, request: bytes, context: Any) -> bytes:
        said = {str(key): str(value) for key, value in context.invocation_metadata()}
        self.peers.append(said.get("x-forwarded-for", ""))
        context.set_trailing_metadata((("x-said", "yes"),))
        if request == b"refuse":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "refused")
        return request

    async def _count(self, request: bytes, _context: Any) -> AsyncIterator[bytes]:
        for n in range(int(request)):
            yield str(n).encode()

    async def _chat(self, requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request.upper()

    async def _http(self, request: web.Request) -> web.Response:
        self.paths.append(f"{request.method} {request.raw_path}")
        digest, size = hashlib.sha256(), 0
        async for chunk in request.content.iter_chunked(1 << 16):
            digest.update(chunk)
            size += len(chunk)
        return web.json_response({"bytes": size, "sha256": digest.hexdigest()})


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    it = Api()
    await it.start()
    yield it
    await it.stop()


@pytest.fixture
async def up(short_dir: Path, api: Api) -> AsyncIterator[IngressHarness]:
    """An ingress with the api's hostname and a certificate for it, and nothing else."""
    async with running_ingress(short_dir, api=api.spec()) as it:
        await serve(it, {})
        yield it


async def serve(up: IngressHarness, routes: dict[str, str], version: int = 1) -> None:
    up.ingress.set_certificates(by_id(certificate(HOST, APP)), 1)
    up.ingress.set_routes(routes_to(routes), version)
    assert await up.ingress.wait_version(version, WAIT_S) == Applied(version, [])


@contextlib.asynccontextmanager
async def channel(port: int) -> AsyncIterator[grpc.aio.Channel]:
    """A gRPC channel by plain HTTP/2."""
    options = (("grpc.default_authority", HOST),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as made:
        yield made


def method(name: str, service: str = SERVICE) -> str:
    return f"/{service}/{name}"


async def call(two: Http2Client, path: str, message: bytes, content_type: str = "application/grpc") -> Any:
    """A unary gRPC call on an HTTP/2 connection, frame by frame."""
    headers = [
        (":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", path),
        ("content-type", content_type), ("te", "trailers"),
    ]  # fmt: skip
    stream = await two.begin(headers, is_ended=False)
    await two.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message, is_ended=True)
    return await two.answer(stream)


async def test_grpc_passes_over_tls_with_its_trailers(up: IngressHarness, api: Api) -> None:
    """A result, and a refusal with its status; the api learns the client's address; no header speaks of deployments."""
    async with http2(up.tls_port, HOST, source="127.0.0.3") as two:
        good = await call(two, method("Say"), b"hello")
        assert (good.status, good.body[5:], good.trailers["grpc-status"]) == (200, b"hello", "0")
        assert good.trailers["x-said"] == "yes"
        assert "x-sealift-deployment" not in good.headers
        bad = await call(two, method("Say"), b"refuse", "application/grpc+proto")
        assert (bad.trailers or bad.headers)["grpc-status"] == "9"
    assert api.peers == ["127.0.0.3", "127.0.0.3"]


async def test_streams_pass_both_ways(up: IngressHarness) -> None:
    """Each message goes on at once, without waiting for the next or for the end."""
    async with channel(up.port) as plain:
        counted = [one async for one in plain.unary_stream(method("Count"))(b"1000")]
        assert counted == [str(n).encode() for n in range(1000)]
        chat = plain.stream_stream(method("Chat"))()
        for n in range(5):
            await chat.write(b"x%d" % n)
            assert await asyncio.wait_for(chat.read(), WAIT_S) == b"X%d" % n
        await chat.done_writing()
        assert await chat.read() is grpc.aio.EOF


async def test_only_the_api_itself_is_behind_its_hostname(up: IngressHarness, api: Api) -> None:
    """RPCs as JSON and transfers are; health, metrics, reflection and crooked paths are not, by whatever spelling."""
    for good in ("/sealift.ctrl.v1.CtrlService/Liveness", "/objects/a/b?signature=x"):
        assert (await get(up.port, HOST, good)).status == 200
    assert api.paths == ["GET /sealift.ctrl.v1.CtrlService/Liveness", "GET /objects/a/b?signature=x"]
    for bad in (
        "/", "/metrics", "/health/ready", "/objects", "/sealift", "//metrics", "/objects/../metrics", "/objects/..",
        "/objects/%2e%2e/metrics", "/objects/%2E./metrics", "/objects//metrics", "/objects/..%2fmetrics",
        "/objects/\\..\\metrics", "/objects/./a", "/sealift.x/..%5cmetrics", "/grpc.health.v1.Health/Check",
    ):  # fmt: skip
        answer = await get(up.port, HOST, bad)
        assert answer.status in (400, 404), bad
        assert answer.status == 400 or "there is no page here" in answer.body
    assert len(api.paths) == 2
    async with http2(up.tls_port, HOST) as two:
        for service in ("grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "x"):
            answer = await call(two, method("Check", service), b"")
            assert (answer.status, answer.headers["grpc-status"]) == (200, "12")
    assert api.peers == []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_big_upload_passes_without_being_kept(up: IngressHarness, scheme: str) -> None:
    """Envoy holds a moment of it at most, and every byte arrives."""
    size, block = UPLOAD_MIB << 20, bytes(range(256)) * 4096

    async def body() -> AsyncIterator[bytes]:
        for _ in range(size // len(block)):
            yield block

    expected = hashlib.sha256()
    for _ in range(size // len(block)):
        expected.update(block)
    before = _resident_mib(up.envoy.pid)
    port = up.tls_port if scheme == "https" else up.port
    headers = {"Host": HOST, "Content-Length": str(size)}
    async with aiohttp.ClientSession() as session:
        url = f"{scheme}://127.0.0.1:{port}/objects/big"
        async with session.put(url, data=body(), headers=headers, ssl=False, server_hostname=HOST) as answer:
            assert answer.status == 200
            told = await answer.json()
    assert told == {"bytes": size, "sha256": expected.hexdigest()}
    assert _resident_mib(up.envoy.pid) < before + 48


def _resident_mib(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) >> 10


async def test_an_app_that_is_down_takes_nothing_down_and_neither_does_the_api(up: IngressHarness, api: Api) -> None:
    """Each is told apart in words: to people, to programs that ask for JSON, and to gRPC."""
    async with raw_app() as app:
        await an_app(up, app, 2)
        assert (await get(up.port, APP)).body == "ok"
        await api.stop()
        answer = await get(up.port, HOST, "/objects/a")
        assert (answer.status, "the api of this installation does not answer" in answer.body) == (503, True)
        assert answer.headers["retry-after"] == "1"
        async with http2(up.tls_port, HOST) as two:
            assert (await call(two, method("Say"), b"x")).headers["grpc-status"] == "14"
        assert (await get(up.port, APP)).body == "ok"
        await api.start()
        assert (await get(up.port, HOST, "/objects/a")).status == 200
    assert (await get(up.port, APP)).status == 503
    assert (await get(up.port, HOST, "/objects/a")).status == 200
    up.ingress.set_routes(routes_to({HOST: "dep_a"}), 3)
    assert (await up.ingress.wait_version(3, WAIT_S)).version == 3
    assert json.loads((await get(up.port, HOST, "/objects/a")).body)["bytes"] == 0, "no route takes the api's name"


async def an_app(up: IngressHarness, app: RawApp, version: int) -> None:
    up.ingress.set_endpoints("dep_a", [app.endpoint()])
    await serve(up, {APP: "dep_a"}, version)


async def test_calls_share_connections_to_the_api(up: IngressHarness, api: Api) -> None:
    """The rule for apps, a connection for each request, is not for the api."""
    async with http2(up.tls_port, HOST) as two:
        for _ in range(50):
            assert (await call(two, method("Say"), b"x")).trailers["grpc-status"] == "0"
    stats = await up.envoy.admin("/stats?filter=cluster.sealift-api-grpc.upstream_cx_total")
    assert int(stats.split(": ")[1]) <= 4, "at most one of each worker of Envoy, and of each listener"


async def test_without_https_the_api_is_not_served_away_from_loopback(short_dir: Path, api: Api) -> None:
    """A proxy in front that ends TLS is believed; everybody else is told why."""
    spec = ListenerSpec("127.0.0.1", free_port(), trusted_proxies=TRUSTED, api=api.spec(is_plain_allowed=False))
    async with running_ingress(short_dir, ready=False) as up:
        await up.server.stop()
        up.ingress = EnvoyIngress(spec)
        up.server = AdsServer(up.ingress, up.envoy.ads_socket)
        await up.server.start()
        up.ingress.mark_ready()
        up.ingress.set_routes({}, 1)
        assert await up.ingress.wait_version(1, WAIT_S) == Applied(1, [])
        answer = await get(spec.port, HOST, "/objects/a", "X-Forwarded-Proto: https\r\n")
        assert (answer.status, "served by HTTPS only" in answer.body) == (403, True)
        request = f"GET /objects/a HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-Proto: https\r\n\r\n".encode()
        assert (await ask(spec.port, request, source=TRUSTED[0].partition("/")[0])).status == 200


async def test_away_from_loopback_the_api_is_served_by_https_only(short_dir: Path, api: Api) -> None:
    """Plain HTTP leads to HTTPS: no key goes over the network in clear a second time."""
    async with running_ingress(short_dir, api=api.spec(is_plain_allowed=False)) as up:
        await serve(up, {})
        answer = await get(up.port, HOST, "/objects/a")
        assert (answer.status, answer.headers["location"]) == (308, f"https://{HOST}:{up.tls_port}/objects/a")
        up.ingress.set_challenges({"t": Challenge("t", HOST, "t.x")}, 2)
        await serve(up, {}, 2)
        assert (await get(up.port, HOST, "/.well-known/acme-challenge/t")).body == "t.x", "its own certificate, too"
        async with channel(up.port) as plain:
            with pytest.raises(grpc.aio.AioRpcError):
                await plain.unary_unary(method("Say"))(b"x", timeout=WAIT_S)
        assert (api.paths, api.peers) == ([], [])
        async with http2(up.tls_port, HOST) as two:
            assert (await call(two, method("Say"), b"x")).trailers["grpc-status"] == "0"
