"""An S3 server for tests that verifies every signature: Debian's OpenStack Swift with its s3api.

`dev/parts/s3.sh` unpacks it; a run of it has free ports and a folder of its own, and ends with the process of the
tests, however that ends. Like many stores, it does not know x-amz-checksum-sha256.
"""

import asyncio
import base64
import hashlib
import http.client
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self

from aiohttp import web

from pkg.config import Secret
from pkg.storage.s3.config import S3Config
from pkg.testing.parts import prepared_part
from pkg.testing.ports import free_ports
from pkg.testing.wait import WAIT_S

ACCESS_KEY_ID = "test:tester"
ACCESS_KEY_SECRET = "testing"  # noqa: S105, of an account that exists in tests only
REGION = "us-east-1"
START_TIMEOUT_S = 180.0

# By default Swift's parts give up on each other after 0.3 s to 10 s, and the proxy avoids a part for a minute once it
# gave up on it ten times. Here each of them may have to wait for a processor for seconds, as tests run beside it.
_PATIENCE = "node_timeout = 60\nconn_timeout = 60"

# Whatever ends the tests, the pipe is closed then, and with it the servers.
_BOUND = """
pids=
for kind in account container object proxy; do
  /usr/bin/python3 -c "$3" "$1/swift.conf" "$0/usr/bin/swift-$kind-server" "$1/$kind.conf" </dev/null & pids="$pids $!"
done
"$0/usr/bin/memcached" -l 127.0.0.1 -p "$2" -m 16 -u root </dev/null & pids="$pids $!"
read -r _
kill -KILL $pids
wait
rm -rf "$1"
"""

# Swift looks into /etc before it reads where else to look.
_LAUNCH = """
import runpy, sys
from swift.common import utils
utils.SWIFT_CONF_FILE = sys.argv[1]
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# One device on each ring.
_RINGS = """
import sys
from swift.common.ring import RingBuilder
for kind, port in zip(("account", "container", "object"), sys.argv[2:]):
    ring = RingBuilder(4, 1, 1)
    ring.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "d1", "weight": 1.0,
                  "replication_ip": "127.0.0.1", "replication_port": int(port), "meta": ""})
    ring.rebalance()
    ring.get_ring().save(f"{sys.argv[1]}/{kind}.ring.gz")
"""

_STORAGE = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = root
devices = {folder}/devices
mount_check = false
swift_dir = {folder}
recon_cache_path = {folder}/cache
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
{patience}
container_update_timeout = 60
"""

_PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = root
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth slo copy proxy-server
[app:proxy-server]
use = egg:swift#proxy
{patience}
error_suppression_limit = 1000000
account_autocreate = true
allow_account_management = true
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = {region}
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{cache_port}
connect_timeout = 60
io_timeout = 60
pool_timeout = 60
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:copy]
use = egg:swift#copy
"""


class SwiftServer:
    """One run of Swift, empty at first.

    Attributes:
        port: of the S3 endpoint, on loopback.
    """

    def __init__(self) -> None:
        """Starts nothing."""
        self._root = prepared_part("s3") / "root"
        self._folder = Path(tempfile.mkdtemp(prefix="slt-s3-"))
        self.port, *self._ports = free_ports(5)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Starts it."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it."""
        self.stop()

    @property
    def url(self) -> str:
        """The S3 endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def config(self, **keys: object) -> S3Config:
        """A section for a bucket that does not exist yet; `keys` replace what it says."""
        given = {
            "url": self.url, "region": REGION, "bucket": f"b-{secrets.token_hex(6)}",
            "access_key_id": ACCESS_KEY_ID, "access_key_secret": Secret(ACCESS_KEY_SECRET),
        }  # fmt: skip
        return S3Config(**(given | keys))  # type: ignore[arg-type]

    def start(self) -> None:
        """Returns once it answers, after about 3 s. Raises RuntimeError with the end of its log."""
        self._configure()
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                ["sh", "-c", _BOUND, str(self._root), str(self._folder), str(self._ports[3]), _LAUNCH],
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
                env={"PATH": "/usr/bin:/bin", **self._libraries()},
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if _answers(f"{self.url}/healthcheck"):
                return
            time.sleep(0.05)
        end = (self._folder / "log").read_text(errors="replace")[-3000:]
        self.stop()
        raise RuntimeError(f"Swift did not start:\n{end}")

    def stop(self) -> None:
        """Ends it and removes its files. Idempotent."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(WAIT_S)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _configure(self) -> None:
        folder = self._folder
        for name in ("cache", "devices/d1"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "swift.conf").write_text(
            f"[swift-hash]\nswift_hash_path_suffix = {secrets.token_hex(8)}\n"
            "[storage-policy:0]\nname = one\ndefault = yes\n"
        )
        for kind, port in zip(("account", "container", "object"), self._ports, strict=False):
            (folder / f"{kind}.conf").write_text(
                _STORAGE.format(kind=kind, port=port, folder=folder, patience=_PATIENCE)
            )
        (folder / "proxy.conf").write_text(
            _PROXY.format(
                port=self.port,
                folder=folder,
                region=REGION,
                secret=ACCESS_KEY_SECRET,
                cache_port=self._ports[3],
                patience=_PATIENCE,
            )
        )
        subprocess.run(
            ["/usr/bin/python3", "-c", _RINGS, str(folder), *map(str, self._ports[:3])], check=True,
            capture_output=True, env={"PATH": "/usr/bin:/bin", **self._libraries()},
        )  # fmt: skip

    def _libraries(self) -> dict[str, str]:
        folders = [str(found) for folder in ("usr/lib", "lib") for found in (self._root / folder).glob("*-linux-gnu")]
        return {
            "LD_LIBRARY_PATH": ":".join(folders),
            "PYTHONPATH": str(self._root / "usr/lib/python3/dist-packages"),
        }


_HOP_BY_HOP = ("Connection", "Expect", "Transfer-Encoding")


class S3Front:
    """A reverse proxy in front of the server, on a port of its own, that misbehaves on demand. It keeps the Host.

    Attributes:
        url: of the proxy.
        is_away: connections are closed without an answer.
        refusal: (status, S3 error code) of every answer, or None.
        refused_puts: so many of the next PUTs are refused as one with an expired URL.
        goes_away_at: beginning of "METHOD /path" of the request at which it goes away, "" for none; the bucket's name
            is not in it.
        checks_sha256: of PUTs, as AWS does.
        is_strict: refuses encodings of PUTs that only AWS understands: trailers, and bodies without a length.
        seen: method and path of each request.
    """

    def __init__(self, server: SwiftServer) -> None:
        """Listens nowhere yet: see `fronted`."""
        self.url = ""
        self.is_away = False
        self.refusal: tuple[int, str] | None = None
        self.refused_puts = 0
        self.goes_away_at = ""
        self.checks_sha256 = False
        self.is_strict = False
        self.seen: list[str] = []
        self._server = server

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Passes one request on, or not."""
        self.seen.append(f"{request.method} {request.path}")
        _, _, key = request.path.lstrip("/").partition("/")
        if self.goes_away_at and f"{request.method} /{key}".startswith(self.goes_away_at):
            self.goes_away_at, self.is_away = "", True
        if request.method == "PUT" and self.refused_puts > 0:
            self.refused_puts -= 1
            return _xml(403, "AccessDenied")
        if self.is_away:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if self.refusal is not None:
            status, code = self.refusal
            return _xml(status, code)
        if self.is_strict and request.method == "PUT" and key and _needs_aws(request):
            return _xml(411, "MissingContentLength")
        body = await request.read()
        announced = request.headers.get("x-amz-checksum-sha256")
        if self.checks_sha256 and announced and base64.b64decode(announced) != hashlib.sha256(body).digest():
            return _xml(400, "BadDigest")
        return await asyncio.to_thread(self._pass_on, request.method, request.raw_path, dict(request.headers), body)

    def _pass_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> web.Response:
        # not aiohttp: Swift ends its answers to HEAD with an empty chunk, at which a strict client stops
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        try:
            kept = {name: value for name, value in headers.items() if name not in _HOP_BY_HOP}
            connection.request(method, path, body or None, kept)
            answer = connection.getresponse()
            content = answer.read()
            kept = {name: value for name, value in answer.getheaders() if name not in _HOP_BY_HOP}
            return web.Response(status=answer.status, body=content, headers=kept)
        finally:
            connection.close()


def _needs_aws(request: web.Request) -> bool:
    is_chunked = "aws-chunked" in request.headers.get("Content-Encoding", "")
    return is_chunked or "x-amz-trailer" in request.headers or "Content-Length" not in request.headers


def _xml(status: int, code: str) -> web.Response:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code} it is</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


@asynccontextmanager
async def fronted(server: SwiftServer) -> AsyncIterator[S3Front]:
    """A proxy in front of the server until the block ends."""
    front = S3Front(server)
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", front.handle)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        front.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield front
    finally:
        await runner.cleanup()


@contextmanager
def fronted_in_thread(server: SwiftServer) -> Iterator[S3Front]:
    """The same for tests without an event loop: the proxy runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="s3-front", daemon=True)
    thread.start()
    proxy = fronted(server)
    try:
        yield asyncio.run_coroutine_threadsafe(_enter(proxy), loop).result(WAIT_S)
    finally:
        asyncio.run_coroutine_threadsafe(_leave(proxy), loop).result(WAIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()


async def _enter(proxy: AbstractAsyncContextManager[S3Front]) -> S3Front:
    return await proxy.__aenter__()


async def _leave(proxy: AbstractAsyncContextManager[S3Front]) -> None:
    await proxy.__aexit__(None, None, None)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310, a URL of ours
            return bool(answer.status == 200)
    except OSError:
        return False
