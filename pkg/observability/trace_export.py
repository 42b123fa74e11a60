"""Turns the export of spans on or off for this process."""

from pkg.observability import tracing
from pkg.observability.tracing import Tracing


def configure(service: str, instance_id: str, endpoint: str | None) -> Tracing:
    """Exports this process's spans to `endpoint` (base URL of an OTLP/HTTP receiver); None or "" turns them off.

    Called once, by run_service. OpenTelemetry is imported only when there is an endpoint.
    """
    made = Tracing()
    if endpoint:
        from pkg.observability.otlp import OtlpTracing

        made = OtlpTracing(service, instance_id, endpoint)
    tracing.install(made)
    return made
