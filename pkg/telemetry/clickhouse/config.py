"""The section that configures the ClickHouse store. The store and its client are loaded when it is opened."""

import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pkg.config import Secret
from pkg.telemetry.port import TelemetryConfig

if TYPE_CHECKING:
    from pkg.telemetry.clickhouse.store import ClickHouseTelemetry

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


class ClickHouseConfig(TelemetryConfig):
    """Build steps, logs, access figures and usage in a ClickHouse server, 24 or newer, by its HTTP interface.

    Attributes:
        backend: "clickhouse": in a ClickHouse server.
        url: of its HTTP interface, e.g. "http://10.0.0.5:8123" or "https://clickhouse.example.com:8443".
        database: holds the tables build_events, access_figures, log_lines and log_sources; all are made when missing.
        username: of a user that may create, read, write and delete in that database.
        password: of that user; "" if it has none.
    """

    backend: Literal["clickhouse"] = "clickhouse"
    url: str
    database: str = "sealift"
    username: str = "default"
    password: Secret = Secret("")

    def problems(self) -> list[str]:
        """The URL names a server and nothing else; the database's name needs no quotes."""
        found = super().problems()
        try:
            parts = urlsplit(self.url)
            is_server = bool(parts.hostname) and parts.port != 0
            is_url = parts.scheme in {"http", "https"} and is_server and not parts.path.strip("/") + parts.query
        except ValueError:
            is_url = False
        if "@" in self.url:
            found.append("url: it holds a user or a password; they belong into username and password")
        elif not is_url:
            found.append(f"url: expected http://HOST:PORT or https://HOST:PORT, got {self.url!r}")
        if not _NAME.fullmatch(self.database):
            found.append(f"database: expected 1 to 63 of A-Z, a-z, 0-9 and _, got {self.database!r}")
        if not self.username:
            found.append("username: is empty")
        return found

    def open(self) -> "ClickHouseTelemetry":
        """See `TelemetryConfig.open`."""
        from pkg.telemetry.clickhouse.connection import ServerAccess
        from pkg.telemetry.clickhouse.store import ClickHouseTelemetry

        access = ServerAccess(self.url, self.database, self.username, self.password, self.retention_days)
        return ClickHouseTelemetry(access)
