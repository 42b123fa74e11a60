"""What a build said and did, kept apart from the control database: much, cheap, and gone after a while.

`events` holds the words (`BuildEvent` and what is in it), `port.BuildTelemetry` what others see, `sqlite` the adapter
for one machine: a file of its own that several processes may open, one writing and another reading. A write of an
attempt that another one has replaced fails with Aborted `build.attempt_superseded`.
"""

from pkg.telemetry.events import BuildEvent, BuildLine, BuildStep, LogStream, StepState
from pkg.telemetry.port import BuildTelemetry
from pkg.telemetry.sqlite import SqliteTelemetry

__all__ = ["BuildEvent", "BuildLine", "BuildStep", "BuildTelemetry", "LogStream", "SqliteTelemetry", "StepState"]
