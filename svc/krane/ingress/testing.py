"""A real Envoy and real upstreams for tests. Not used by services: the supervisor starts Envoy there."""

import asyncio
import contextlib
import json
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pkg.envoy import bootstrap, command, find_binary
from pkg.testing.ports import free_port
from pkg.testing.wait import WAIT_S
from svc.krane.ingress.admin import EnvoyAdmin
from svc.krane.ingress.ads import AdsServer
from svc.krane.ingress.api_host import ApiSpec
from svc.krane.ingress.ingress import EnvoyIngress, Timing
from svc.krane.ingress.listener import ListenerSpec
from svc.krane.ingress.testing_raw import LoopbackServer
from svc.krane.ingress.tls import TlsSpec

# The client of most tests is somebody from outside; one from this address is a proxy that may speak for others.
TRUSTED = ("127.0.0.9/32",)


async def until(condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
    """Polls `condition` every 5 ms; raises `AssertionError` naming `what` after `timeout_s`."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        await asyncio.sleep(0.005)


class Envoy:
    """One Envoy process. It ends with the thread that started it, so `start` is for the main thread only."""

    def __init__(self, directory: Path) -> None:
        self.ads_socket = directory / "ads.sock"
        self.admin_socket = directory / "admin.sock"
        self._config = directory / "envoy.json"
        self._log = directory / "envoy.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, log_level: str = "warning") -> None:
        """Starts Envoy, or starts it again."""
        assert threading.current_thread() is threading.main_thread()
        config = bootstrap(node_id="test", cluster="test", ads_socket=self.ads_socket, admin_socket=self.admin_socket)
        self._config.write_text(json.dumps(config))
        arguments = command(find_binary(), self._config, log_level=log_level)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """All that Envoy logged so far."""
        return self._log.read_text()

    async def admin(self, path: str, method: str = "GET") -> str:
        """What Envoy's admin interface answers."""
        async with EnvoyAdmin(self.admin_socket, 5) as admin:
            return (await admin.request(method, path)).decode()

    def kill(self) -> None:
        """Kill it as `kill -9` does, and wait for the end. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@dataclass
class IngressHarness:
    """An ingress with its ADS server and a running Envoy.

    Attributes:
        port: Where Envoy listens.
        tls_port: Where Envoy takes HTTPS.
        api: The api behind it, if any.
        redirect: Whether it redirects to HTTPS.
        hsts_max_age_s: Of its HSTS header.
    """

    directory: Path
    timing: Timing
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    api: ApiSpec | None = None
    redirect: bool = False
    hsts_max_age_s: int = 0
    ingress: EnvoyIngress = field(init=False)
    server: AdsServer = field(init=False)
    envoy: Envoy = field(init=False)

    def __post_init__(self) -> None:
        self.envoy = Envoy(self.directory)
        self.new_ingress()

    def new_ingress(self) -> None:
        """A control plane that knows nothing, as after a restart of krane."""
        tls = TlsSpec("127.0.0.1", self.tls_port, self.tls_port, self.redirect, self.hsts_max_age_s)
        spec = ListenerSpec("127.0.0.1", self.port, self.directory / "access.log", TRUSTED, tls, self.api)
        self.ingress = EnvoyIngress(spec, self.timing)
        self.server = AdsServer(self.ingress, self.envoy.ads_socket)


@contextlib.asynccontextmanager
async def running_ingress(
    directory: Path, timing: Timing | None = None, *, ready: bool = True, **options: Any
) -> AsyncIterator[IngressHarness]:
    """Starts everything; ends what it started. `directory` must be short (sockets live there)."""
    it = IngressHarness(directory, timing or Timing(drain_s=0.1), **options)
    await it.server.start()
    if ready:
        it.ingress.mark_ready()
    it.envoy.start()
    try:
        yield it
    finally:
        it.envoy.kill()
        await it.server.stop()


class Upstream(LoopbackServer):
    """A minimal HTTP/1.1 server on the loopback that answers with its name.

    `GET /slow` waits for `release` before it answers; with `reset` every request ends in a closed connection. Counts
    requests.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.requests = 0
        self.heads: list[str] = []
        self.release = asyncio.Event()
        self.reset = False

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """See `LoopbackServer`."""
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.requests += 1
            self.heads.append(head)
            if self.reset:
                return
            if head.startswith("GET /slow"):
                await self.release.wait()
            body = self.name.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nserver: app\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()


@dataclass(frozen=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: str


class Connection:
    """One HTTP/1.1 connection to Envoy, bare: no client library retries behind a test's back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, hostname: str, path: str = "/", method: str = "GET", headers: str = "") -> Reply:
        """Sends a request and reads the answer; connects first if needed. Raises what the network raises."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        length = "" if method == "GET" else "content-length: 0\r\n"
        writer.write(f"{method} {path} HTTP/1.1\r\nhost: {hostname}\r\n{length}{headers}\r\n".encode("latin-1"))
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        body = await reader.readexactly(int(fields.get("content-length", "0")))
        if fields.get("connection") == "close":
            self.close()
        return Reply(int(lines[0].split()[1]), fields, body.decode())

    def close(self) -> None:
        """Closes it; the next request opens a new one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def get(port: int, hostname: str, path: str = "/", headers: str = "") -> Reply:
    """One GET on a connection of its own, at most 10 s."""
    connection = Connection(port)
    try:
        return await asyncio.wait_for(connection.request(hostname, path, headers=headers), WAIT_S)
    finally:
        connection.close()
