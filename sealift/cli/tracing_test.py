"""One trace begins at the command line: spans reach a real receiver, every call carries the traceparent."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sealift.cli.conftest import Program
from sealift.client.testing import FakeServer


class Receiver:
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join(5)


async def test_trace_of_a_deploy(sealift: Program, server: FakeServer, receiver: Receiver) -> None:
    """Promise: packing, upload and wait are spans of one trace, which is propagated to the server."""
    sealift.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.url
    done = await sealift("deploy")
    assert done.code == 0
    spans = [s for r in receiver.requests for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]
    assert {span.name for span in spans} == {"sealift deploy", "pack", "upload", "sealift wait"}
    [trace] = {span.trace_id.hex() for span in spans}
    assert {metadata["traceparent"].split("-")[1] for metadata in server.metadata} == {trace}


async def test_receiver_away(sealift: Program) -> None:
    """Promise: traces that can't be delivered neither fail nor delay a deploy."""
    sealift.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    done = await sealift("deploy")
    assert done.code == 0
    assert "opentelemetry" not in done.err.lower()
    assert "HTTPConnection" not in done.err
