"""Figure: a build by the worker's builder and log, compared with a bare solve of the same Dockerfile."""

import asyncio
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pkg.builders.docker.backend import DockerBuilder
from pkg.builders.port import BuildSpec
from pkg.builders.sink import TelemetrySink
from pkg.builders.testing import context, context_at
from pkg.buildkit import engine_channel, open_session
from pkg.buildkit.channel import stub
from pkg.buildkit.pb import control_pb2 as pb
from pkg.images import ImageRef
from pkg.telemetry.sqlite import SqliteTelemetry
from tests.bench.figure import Figure
from tests.bench.rounds import interleaved
from tests.harness import engine

MARK = 1.05
LABEL = "sealift.bench.solve"
TIMEOUT_S = 300
# Steps that work and print, as a compiler does; nothing waits.
_STEP = "RUN n=0; while [ $n -lt 300 ]; do n=$((n+1)); echo $NONCE line $n of this step; done; echo $n >/made{step}\n"
DOCKERFILE = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\nARG NONCE\n" + "".join(
    _STEP.replace("{step}", str(step)) for step in range(5)
)


def measure(engine_socket: str, scratch: Path, rounds: int) -> list[Figure]:
    """Builds both ways alternately, each with a new argument, so that no step is cached."""
    archive = context({"Dockerfile": DOCKERFILE})
    run = secrets.token_hex(6)
    try:
        with _served(archive) as url:
            pairs = interleaved(
                rounds,
                lambda _: asyncio.run(_by_the_worker(engine_socket, scratch, url, run)),
                lambda _: asyncio.run(_bare(engine_socket, url, run)),
            )
    finally:
        engine.remove_images(engine_socket, f"{LABEL}={run}")
    ours, bare = [one for one, _ in pairs], [other for _, other in pairs]
    return [Figure("solve with its log, over a bare solve", "ratio", ours, "ms", bare, mark=MARK)]


async def _by_the_worker(engine_socket: str, scratch: Path, url: str, run: str) -> float:
    nonce = secrets.token_hex(8)
    telemetry = SqliteTelemetry(scratch / "solves.db")
    builder = DockerBuilder(Path(engine_socket))
    spec = BuildSpec(
        project_id="proj_bench", build_id=f"bld_{nonce}", attempt=1, image_name=ImageRef(f"bench/{run}", tag=nonce),
        sign_context_url=context_at(url), build_args={"NONCE": nonce}, labels={LABEL: run}, timeout_s=TIMEOUT_S,
    )  # fmt: skip
    began = time.monotonic()
    async with TelemetrySink(telemetry.builds, spec.build_id, 1, _is_current) as sink:
        await builder.build(spec, sink)
    took_ms = (time.monotonic() - began) * 1000
    await telemetry.close()
    return took_ms


async def _is_current() -> None:
    """The fence of an attempt that no other replaces."""


async def _bare(engine_socket: str, url: str, run: str) -> float:
    """The least that builds and receives all output: a channel, a session, the solve, its status read to the end."""
    nonce = secrets.token_hex(8)
    attrs = {"context": url, "filename": "Dockerfile", "build-arg:NONCE": nonce, f"label:{LABEL}": run}
    exporter = {"name": f"bench/{run}:{nonce}"}
    began = time.monotonic()
    async with engine_channel(Path(engine_socket)) as channel, open_session(channel, secrets={}) as session:
        request = pb.SolveRequest(
            Ref=nonce, Frontend="dockerfile.v0", FrontendAttrs=attrs, Session=session, Internal=True,
            ExporterDeprecated="moby", ExporterAttrsDeprecated=exporter,
            Exporters=[pb.Exporter(Type="moby", Attrs=exporter)],
        )  # fmt: skip
        control = stub(channel)

        async def drop() -> None:
            async for _ in control.Status(pb.StatusRequest(Ref=nonce)):
                pass

        await asyncio.gather(drop(), control.Solve(request, timeout=TIMEOUT_S))
    return (time.monotonic() - began) * 1000


@contextmanager
def _served(archive: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/gzip")
            self.send_header("Content-Length", str(len(archive)))
            self.end_headers()
            self.wfile.write(archive)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/context"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
