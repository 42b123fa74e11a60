import asyncio
import gzip
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from pkg.observability import tracing
from pkg.observability.trace_export import configure
from pkg.observability.tracing import Tracing, current, is_traceparent
from pkg.testing.wait import WAIT_S

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Receiver:
    """A tiny OTLP/HTTP receiver."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[ExportTraceServiceRequest] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.requests.append(ExportTraceServiceRequest.FromString(body))
        return web.Response()

    def spans(self) -> dict[str, Span]:
        return {
            span.name: span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/v1/traces", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield receiver
    await runner.cleanup()


@pytest.fixture(autouse=True)
def off_again() -> Iterator[None]:
    yield
    configure("test", "inst_0", None)


async def flushed(tracing_: Tracing) -> None:
    with ThreadPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, tracing_.shutdown)


def attributes(span: Span) -> dict[str, object]:
    return {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes}


async def test_spans_reach_the_receiver_with_their_parents(receiver: Receiver) -> None:
    """Promise: one trace follows the work across processes: traceparent in, children, traceparent out."""
    spans = configure("api", "inst_1", receiver.url)
    assert current() is spans
    with spans.span("create", traceparent=PARENT, deployment_id="dep_1", size_bytes=3, cached=True) as span:
        span.set(url="http://h/a?sig=SECRET", nothing=None)
        with spans.span("store"):
            out = spans.traceparent()
        await asyncio.gather(*(child(spans, number) for number in range(2)))
    assert spans.traceparent() == ""
    await flushed(spans)
    found = receiver.spans()
    assert set(found) == {"create", "store", "task-0", "task-1"}
    assert {span.trace_id.hex() for span in found.values()} == {PARENT.split("-")[1]}
    assert found["create"].parent_span_id.hex() == PARENT.split("-")[2]
    assert all(found[name].parent_span_id == found["create"].span_id for name in ("store", "task-0", "task-1"))
    assert out == f"00-{PARENT.split('-')[1]}-{found['store'].span_id.hex()}-01"
    assert attributes(found["create"]) == {
        "deployment_id": "dep_1", "size_bytes": 3, "cached": True, "url": "http://h/a?****",
    }  # fmt: skip
    resource = receiver.requests[0].resource_spans[0].resource.attributes
    assert {a.key: a.value.string_value for a in resource} == {
        "service.name": "sealift-api", "service.instance.id": "inst_1",
    }  # fmt: skip


async def child(spans: Tracing, number: int) -> None:
    with spans.span(f"task-{number}"):
        await asyncio.sleep(0)


async def test_errors_mark_the_span_and_cancellations_do_not(receiver: Receiver) -> None:
    """Promise: a failed piece of work shows as failed, without secrets; a cancelled one as cancelled."""
    spans = configure("api", "inst_1", f"{receiver.url}/")
    with pytest.raises(ValueError, match="slk_"), spans.span("broken"):
        raise ValueError("slk_SECRET")
    with pytest.raises(asyncio.CancelledError), spans.span("cancelled"):
        raise asyncio.CancelledError
    with spans.span("said") as span:
        span.fail("no instance became healthy")
    await flushed(spans)
    found = receiver.spans()
    assert found["broken"].status.code == Status.STATUS_CODE_ERROR
    assert found["broken"].status.message == "ValueError: slk_****"
    assert found["cancelled"].status.code == Status.STATUS_CODE_UNSET
    assert attributes(found["cancelled"]) == {"cancelled": True}
    assert found["said"].status.message == "no instance became healthy"
    assert b"SECRET" not in b"".join(request.SerializeToString() for request in receiver.requests)


async def test_invalid_traceparent_from_outside_starts_a_new_trace(receiver: Receiver) -> None:
    """Promise: a bad header neither fails a request nor gets into a trace."""
    spans = configure("api", "inst_1", receiver.url)
    for index, bad in enumerate(["", "x" * 55, PARENT.replace("0af", "0AF"), f"ff{PARENT[2:]}", f"{PARENT}-x"]):
        assert not is_traceparent(bad)
        with spans.span(f"s{index}", traceparent=bad):
            assert spans.traceparent()
    await flushed(spans)
    assert len({span.trace_id for span in receiver.spans().values()}) == 5


def test_shutdown_is_bounded_when_the_receiver_is_away(unused_tcp_port: int) -> None:
    """Promise: a receiver that is down holds no service back."""
    spans = configure("api", "inst_1", f"http://127.0.0.1:{unused_tcp_port}")
    with spans.span("lost"):
        pass
    started = time.monotonic()
    spans.shutdown(0.3)
    spans.shutdown(0.1)
    assert time.monotonic() - started < 30  # the exporter alone would try again for a minute


def test_off_is_a_peer_that_does_nothing() -> None:
    """Promise: without an endpoint the same calls cost nothing and fail nothing."""
    for endpoint in (None, ""):
        spans = configure("api", "inst_1", endpoint)
        with spans.span("a", traceparent=PARENT, n=1) as span:
            span.set(a=1)
            span.fail("no")
            assert spans.traceparent() == ""
        with pytest.raises(ValueError, match="x"), spans.span("b"):
            raise ValueError("x")
        spans.shutdown()
        assert not spans.enabled


def test_off_does_not_import_opentelemetry() -> None:
    """Promise: who does not trace does not pay for it."""
    code = (
        "import sys; from pkg.observability.trace_export import configure; configure('a', 'b', None);"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=WAIT_S)


def test_module_keeps_the_latest() -> None:
    """Promise: before `configure`, `current` is off rather than an error."""
    assert isinstance(tracing.current(), Tracing)
