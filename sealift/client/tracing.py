"""Tracing of the client, so that one trace covers a deploy from the command on.

Two adapters: `NoTracing` (the default) and `OtelTracing`, which needs the extra `sealift[tracing]` and is used if
OTEL_EXPORTER_OTLP_ENDPOINT is set. A trace that can't be delivered never fails a command.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

EXPORT_TIMEOUT_S = 2


class Tracing(Protocol):
    """The tracing port of the client."""

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[None]:
        """A span around a piece of work, child of the current one."""

    def traceparent(self) -> str:
        """W3C traceparent of the current span; "" if there is none."""

    def shutdown(self) -> None:
        """Send pending spans, for at most a few seconds."""


class NoTracing:
    """Does nothing."""

    def span(self, name: str, **attributes: str | int) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def traceparent(self) -> str:
        """No trace: ""."""
        return ""

    def shutdown(self) -> None:
        """Do nothing."""


NO_TRACING = NoTracing()


class OtelTracing:
    """Exports spans by OTLP over HTTP, configured by the standard OTEL_* variables."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("sealift.cli")

    @contextmanager
    def span(self, name: str, **attributes: str | int) -> Iterator[None]:
        """A span around a piece of work; errors that leave it are recorded by type, not by text."""
        from opentelemetry.trace import Status, StatusCode

        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def traceparent(self) -> str:
        """W3C traceparent of the current span; "" if there is none."""
        from opentelemetry.trace import get_current_span

        context = get_current_span().get_span_context()
        if not context.is_valid:
            return ""
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def shutdown(self) -> None:
        """Send pending spans, for at most EXPORT_TIMEOUT_S."""
        self._provider.force_flush(EXPORT_TIMEOUT_S * 1000)
        self._provider.shutdown()


def configure(env: Mapping[str, str] = os.environ) -> Tracing:
    """The tracer configured by the environment.

    Raises:
        ImportError: tracing is configured, but the extra `tracing` is not installed.
    """
    if not env.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return NO_TRACING
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from sealift import __version__

    attributes: dict[str, Any] = {"service.name": "sealift-cli", "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(timeout=EXPORT_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    return OtelTracing(provider)
