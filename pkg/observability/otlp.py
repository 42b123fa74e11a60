"""Spans sent by OTLP over HTTP (protobuf). Imported only when an endpoint is set: it costs 90 ms.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pkg.observability.logging import redact
from pkg.observability.tracing import Span, Tracing, is_traceparent

_EXPORT_TIMEOUT_S = 5
_EXPORT_EVERY_MS = 1000


class OtlpTracing(Tracing):
    """Exports in batches from a separate thread; an unreachable receiver costs spans, never request time."""

    enabled = True

    def __init__(self, service: str, instance_id: str, endpoint: str) -> None:
        # not Resource.create: it mixes in environment variables and the host's name
        resource = Resource({"service.name": f"sealift-{service}", "service.instance.id": instance_id})
        base = endpoint.rstrip("/")
        url = base if base.endswith("/v1/traces") else f"{base}/v1/traces"
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=url, timeout=_EXPORT_TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_EXPORT_EVERY_MS))
        self._tracer = self._provider.get_tracer("sealift")
        self._propagator = TraceContextTextMapPropagator()
        self._stopping: threading.Thread | None = None

    @contextlib.contextmanager
    def span(self, name: str, traceparent: str | None = None, **attributes: object) -> Iterator[Span]:
        """See `Tracing.span`."""
        parent: Context | None = None
        if traceparent and is_traceparent(traceparent):
            parent = self._propagator.extract({"traceparent": traceparent}, context=Context())
        with self._tracer.start_as_current_span(
            name, context=parent, record_exception=False, set_status_on_exception=False
        ) as otel_span:
            span = _OtlpSpan(otel_span)
            span.set(**attributes)
            try:
                yield span
            except (asyncio.CancelledError, GeneratorExit):
                span.set(cancelled=True)
                raise
            except BaseException as error:
                # the message only: a traceback or a repr of arguments could hold more than users may see
                span.fail(f"{type(error).__name__}: {error}")
                raise

    def traceparent(self) -> str:
        """See `Tracing.traceparent`."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent", "")

    def shutdown(self, timeout_s: float = 5.0) -> None:
        """See `Tracing.shutdown`."""
        if self._stopping is None:
            # the SDK's own shutdown may retry for half a minute; a daemon thread cannot hold the process back
            self._stopping = threading.Thread(target=self._provider.shutdown, name="otlp-shutdown", daemon=True)
            self._stopping.start()
        self._stopping.join(timeout_s)


class _OtlpSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, **attributes: object) -> None:
        for name, value in attributes.items():
            if isinstance(value, str):
                self._span.set_attribute(name, redact(value))
            elif value is not None:
                self._span.set_attribute(name, value if isinstance(value, bool | int | float) else redact(str(value)))

    def fail(self, message: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, redact(message)))
