"""The `sqlite` store: one file of this machine that several processes open, some writing and some reading."""

from pkg.telemetry.sqlite.store import SqliteTelemetry

__all__ = ["SqliteTelemetry"]
