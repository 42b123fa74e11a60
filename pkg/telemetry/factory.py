"""Every telemetry store that can be configured. A new one joins by one line here: its section in the union."""

from typing import TypeAlias

from pkg.telemetry.clickhouse.config import ClickHouseConfig
from pkg.telemetry.sqlite.config import SqliteConfig

# The key `backend` chooses among them; the first one is the default.
AnyTelemetryConfig: TypeAlias = SqliteConfig | ClickHouseConfig
