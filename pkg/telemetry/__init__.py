"""What builds print and how deployments were used, apart from the control database: much, cheap, gone after a while.

`port.Telemetry` is what callers use, `events` what is stored. Each adapter is a folder (`sqlite`); its configuration
section opens it, and `factory` lists the sections.
"""

from pkg.telemetry.access import AccessRecord
from pkg.telemetry.events import BuildEvent, BuildLine, BuildStep, LogStream, StepState
from pkg.telemetry.port import AccessTelemetry, BuildTelemetry, Telemetry, TelemetryChanges, TelemetryConfig

__all__ = [
    "AccessRecord",
    "AccessTelemetry",
    "BuildEvent",
    "BuildLine",
    "BuildStep",
    "BuildTelemetry",
    "LogStream",
    "StepState",
    "Telemetry",
    "TelemetryChanges",
    "TelemetryConfig",
]
