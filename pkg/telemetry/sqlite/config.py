"""The section that configures the SQLite store."""

from pathlib import Path
from typing import Literal

from pkg.telemetry.port import TelemetryConfig
from pkg.telemetry.sqlite.store import SqliteTelemetry


class SqliteConfig(TelemetryConfig):
    """Build steps, logs, access figures and usage in a file of this machine.

    Attributes:
        backend: where steps and lines of builds, access figures and usage are kept; "sqlite": in one file.
        path: of the file, made when missing; on the same machine for every service that names it.
    """

    backend: Literal["sqlite"] = "sqlite"
    path: Path

    def open(self) -> SqliteTelemetry:
        """See `TelemetryConfig.open`."""
        return SqliteTelemetry(self.path)
