"""Figures of the ingress: its throughput, what access figures and TLS cost, and 1,000 certificates.

`wrk` asks for a small answer over kept connections. The app is an Envoy that answers by itself, so that it is not what
is measured. The static Envoy has the listener that krane sends, with routes and endpoints in its file.
"""

import asyncio
import contextlib
import json
import re
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from pkg.clock import now_ms
from pkg.envoy import command, find_binary
from pkg.ids import new_id
from pkg.testing.ports import free_port
from svc.krane.ingress import resources
from svc.krane.ingress.access_stats import AccessStats
from svc.krane.ingress.ads import AdsServer
from svc.krane.ingress.ingress import EnvoyIngress, Timing
from svc.krane.ingress.listener import ListenerSpec, listeners
from svc.krane.ingress.port import Endpoint
from svc.krane.ingress.sharing import ConnectionSharing
from svc.krane.ingress.testing import Envoy
from svc.krane.ingress.testing_tls import handshake
from svc.krane.ingress.tls import TlsSpec
from svc.krane.testing.certificates import by_id, certificate
from svc.krane.testing.routes import routes_to
from tests.bench.figure import Figure

# wrk names the host of its URL in the handshake, and resolves it.
HOST = "localhost"
CONNECTIONS = 32
SECONDS, QUICK_SECONDS = 5, 2
MARK = 0.97
CERTIFICATES = 1000
ROTATIONS = 20
TIMEOUT_S = 60
_READY_S = 20.0
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_WRONG = re.compile(r"Non-2xx|Socket errors: (?!connect 0, read 0, write 0, timeout 0)")


def measure(rounds: int, *, quick: bool) -> list[Figure]:
    """All of them; `quick` with shorter loads and a tenth of the certificates."""
    seconds = QUICK_SECONDS if quick else SECONDS
    with tempfile.TemporaryDirectory(prefix="sl-", ignore_cleanup_errors=True) as folder:
        return [
            *asyncio.run(_throughput(Path(folder), rounds, seconds)),
            *asyncio.run(_certificates(Path(folder), CERTIFICATES // 10 if quick else CERTIFICATES)),
        ]


async def _throughput(folder: Path, rounds: int, seconds: int) -> list[Figure]:
    app, static, bare = free_port(), free_port(), free_port()
    with (
        _running(_app(app), folder / "app"),
        _running(_static(static, app, counts=True), folder / "static"),
        _running(_static(bare, app, counts=False), folder / "bare"),
    ):
        async with _ingress(folder / "krane") as (envoy, ingress, spec, tls):
            deployment_id = new_id("dep")
            ingress.set_endpoints(deployment_id, [Endpoint("127.0.0.1", app, healthy=True)])
            ingress.set_routes(routes_to({HOST: deployment_id}), 1)
            ingress.set_certificates(by_id(certificate(HOST)), 2)
            await ingress.wait_version(2, TIMEOUT_S)
            urls = {
                "krane": f"http://{HOST}:{spec.port}/",
                "static": f"http://{HOST}:{static}/",
                "bare": f"http://{HOST}:{bare}/",
                "tls": f"https://{HOST}:{tls.port}/",
            }
            sharing = asyncio.create_task(ConnectionSharing(envoy.admin_socket, tick_s=0.2).run())
            rates: dict[str, list[float]] = {name: [] for name in urls}
            try:
                for number in range(rounds + 1):  # the first one warms up
                    for name in urls if number % 2 else reversed(urls):
                        rates[name].append(await _rate(urls[name], seconds))
                read_ms = await _reads(envoy, deployment_id)
            finally:
                sharing.cancel()
                await asyncio.gather(sharing, return_exceptions=True)
    krane, static_rates, bare_rates, tls_rates = (rates[name][1:] for name in ("krane", "static", "bare", "tls"))
    return [
        Figure(
            "ingress: requests/s over a static Envoy with the same filters", "ratio", krane, "requests/s", static_rates,
            mark=MARK, is_least=True,
        ),
        Figure("ingress: requests/s by HTTPS over plain HTTP", "ratio", tls_rates, "requests/s", krane),
        Figure("ingress: requests/s with access figures over without", "ratio", static_rates, "requests/s", bare_rates),
        Figure("ingress: krane reads the access figures", "value", read_ms, "ms"),
    ]  # fmt: skip


async def _rate(url: str, seconds: int) -> float:
    """Requests per second. Raises RuntimeError when some were not answered well."""
    words = ("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", url)
    process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = (await process.communicate())[0].decode()
    found = _RATE.search(out)
    if process.returncode or not found or _WRONG.search(out):
        raise RuntimeError(f"{' '.join(words)}: {out}")
    return float(found[1])


async def _reads(envoy: Envoy, deployment_id: str) -> list[float]:
    stats = AccessStats(envoy.admin_socket, now_ms)
    took = []
    for _ in range(10):
        started_at = time.perf_counter()
        found = await stats.read()
        took.append((time.perf_counter() - started_at) * 1000)
        assert found.figures[deployment_id].requests
    return took


async def _certificates(folder: Path, count: int) -> list[Figure]:
    names = [f"app-{number}.example" for number in range(count)]
    every = [certificate(name) for name in names]
    this = psutil.Process()
    before = this.memory_info().rss
    async with _ingress(folder / "certificates", starts=False) as (envoy, ingress, _, tls):
        ingress.set_certificates(by_id(*every), 1)
        krane_mib = (this.memory_info().rss - before) / 2**20
        started_at = time.perf_counter()
        envoy.start()
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                with contextlib.suppress(OSError):
                    await handshake(tls.port, names[0])
                    break
                await asyncio.sleep(0.01)
        start_ms = (time.perf_counter() - started_at) * 1000
        empty_mib = psutil.Process(envoy.pid).memory_info().rss / 2**20
        first = [(await handshake(tls.port, name)).took_s * 1000 for name in names[1:]]
        again = [(await handshake(tls.port, name)).took_s * 1000 for name in names[1:101]]
        full_mib = psutil.Process(envoy.pid).memory_info().rss / 2**20
        rotated = []
        for number in range(ROTATIONS):
            seen = (await handshake(tls.port, names[number])).serial
            every[number] = certificate(names[number], days=91)
            started_at = time.perf_counter()
            ingress.set_certificates(by_id(*every), 2 + number)
            async with asyncio.timeout(TIMEOUT_S):
                while (await handshake(tls.port, names[number])).serial == seen:
                    pass
            rotated.append((time.perf_counter() - started_at) * 1000)
    what = f"{count:,} certificates"
    return [
        Figure(f"{what}: Envoy started to first handshake", "value", [start_ms], "ms"),
        Figure(
            f"{what}: first handshake of a name, against later ones", "value", first, "ms", [median(again)] * len(first)
        ),
        Figure(f"{what}: one is replaced, until it is shown", "value", rotated, "ms"),
        Figure(f"{what}: memory of Envoy, all shown, over none", "difference", [full_mib], "MiB", [empty_mib]),
        Figure(f"{what}: memory of krane", "value", [krane_mib], "MiB"),
    ]


@contextlib.asynccontextmanager
async def _ingress(
    folder: Path, *, starts: bool = True
) -> AsyncIterator[tuple[Envoy, EnvoyIngress, ListenerSpec, TlsSpec]]:
    """krane's control plane with its Envoy, as the supervisor runs them."""
    folder.mkdir()
    envoy = Envoy(folder)
    port = free_port()
    tls = TlsSpec("127.0.0.1", port, port)
    spec = ListenerSpec("127.0.0.1", free_port(), tls=tls)
    ingress = EnvoyIngress(spec, Timing())
    server = AdsServer(ingress, envoy.ads_socket)
    await server.start()
    ingress.mark_ready()
    if starts:
        envoy.start()
    try:
        yield envoy, ingress, spec, tls
    finally:
        envoy.kill()
        await server.stop()


@contextlib.contextmanager
def _running(config: dict[str, Any], folder: Path) -> Iterator[None]:
    """A static Envoy, once it is live."""
    folder.mkdir()
    path = folder / "envoy.json"
    path.write_text(json.dumps({**config, "admin": {"address": {"pipe": {"path": str(folder / "admin.sock")}}}}))
    with (folder / "log").open("wb") as log:
        words = command(find_binary(), path)
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _READY_S
        while not (folder / "admin.sock").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"a static Envoy does not start: {(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


def _app(port: int) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "hello\n" * 16}}}
    manager = resources.typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="app",
        route_config={"virtual_hosts": [{"name": "app", "domains": ["*"], "routes": [route]}]},
        http_filters=[
            {
                "name": "envoy.filters.http.router",
                "typed_config": resources.typed("envoy.extensions.filters.http.router.v3.Router"),
            }
        ],
    )
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {
        "name": "app",
        "address": resources.socket_address("127.0.0.1", port),
        "filter_chains": [{"filters": filters}],
    }
    return {"static_resources": {"listeners": [listener]}}


def _static(port: int, app: int, *, counts: bool) -> dict[str, Any]:
    """An Envoy with krane's listener, whose routes and endpoints are in its file."""
    deployment_id = new_id("dep")
    listener = listeners(ListenerSpec("127.0.0.1", port))[0]
    # as a route of a deployment whose requests share kept connections
    route = {**resources.virtual_host_template()["routes"][0], "match": {"prefix": "/"}}
    route["route"] = {**route["route"], "cluster": deployment_id}
    hosts = [{"name": HOST, "domains": ["*"], "routes": [route]}]
    for chain in listener["filter_chains"]:
        manager = chain["filters"][0]["typed_config"]
        del manager["rds"]
        manager["route_config"] = {**resources.route_table(), "virtual_hosts": hosts}
        if not counts:
            manager["access_log"] = []
    cluster = resources.cluster(deployment_id)
    del cluster["eds_cluster_config"]
    assignment = resources.assignment(deployment_id, [Endpoint("127.0.0.1", app, healthy=True)])
    cluster |= {"type": "STATIC", "load_assignment": assignment}
    return {
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
    }
