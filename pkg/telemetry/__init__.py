"""What builds and apps print, how deployments were used and what instances used, apart from the control database.

It is much, cheap, and gone after a while. `port.Telemetry` is what callers use, `events` and its neighbours what is
stored. Each adapter is a folder (`sqlite`); its configuration section opens it, and `factory` lists the sections.
"""

from pkg.telemetry.access import AccessRecord
from pkg.telemetry.app_lines import AppLine, LineKey, LogSource, SourceHead, SourceLines
from pkg.telemetry.events import BuildEvent, BuildLine, BuildStep, LogStream, StepState
from pkg.telemetry.port import (
    AccessTelemetry,
    BuildTelemetry,
    LogTelemetry,
    Telemetry,
    TelemetryChanges,
    TelemetryConfig,
    UsageTelemetry,
)
from pkg.telemetry.usage import UsageFigures, UsageRecord

__all__ = [
    "AccessRecord",
    "AccessTelemetry",
    "AppLine",
    "BuildEvent",
    "BuildLine",
    "BuildStep",
    "BuildTelemetry",
    "LineKey",
    "LogSource",
    "LogStream",
    "LogTelemetry",
    "SourceHead",
    "SourceLines",
    "StepState",
    "Telemetry",
    "TelemetryChanges",
    "TelemetryConfig",
    "UsageFigures",
    "UsageRecord",
    "UsageTelemetry",
]
