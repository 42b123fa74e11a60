"""What the section refuses, and that nothing of the client is loaded before it opens a store."""

import subprocess
import sys
from pathlib import Path

import pytest

from pkg.config import ConfigError, Strict, load
from pkg.telemetry.factory import AnyTelemetryConfig


class Config(Strict):
    """A service's."""

    telemetry: AnyTelemetryConfig


def problems(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "service.toml").write_text(f'[telemetry]\nbackend = "clickhouse"\n{text}')
    try:
        load(tmp_path / "service.toml", Config, env={})
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    "url", ["http://10.0.0.5:8123", "https://clickhouse.example.com", "http://[::1]:8123/", "https://h:8443"]
)
def test_addresses_of_servers_are_accepted(tmp_path: Path, url: str) -> None:
    assert problems(tmp_path, f'url = "{url}"') == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "telemetry.url: is required (string)"),
        ('url = "clickhouse:9000"', "telemetry.url: expected http://HOST:PORT or https://HOST:PORT, got"),
        ('url = "http://"', "telemetry.url: expected http://HOST:PORT"),
        ('url = "http://h:99999"', "telemetry.url: expected http://HOST:PORT"),
        ('url = "http://h:8123/?user=x"', "telemetry.url: expected http://HOST:PORT"),
        ('url = "http://h:8123/prefix"', "telemetry.url: expected http://HOST:PORT"),
        ('url = "http://u:secret@h"', "telemetry.url: it holds a user or a password"),
        ('url = "http://h"\ndatabase = "a`b"', "telemetry.database: expected 1 to 63 of"),
        ('url = "http://h"\nusername = ""', "telemetry.username: is empty"),
        ('url = "http://h"\nretention_days = 0', "telemetry.retention_days: expected 1 to 3650, got 0"),
        ('url = "http://h"\npath = "/var/lib/x.db"', "telemetry.path: unknown key"),
    ],
)
def test_what_cannot_work_is_refused_by_its_key(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith(problem)
    assert "secret@" not in found


def test_the_client_is_loaded_only_when_it_is_used() -> None:
    """Promise: an installation with SQLite pays neither time nor memory for ClickHouse."""
    script = (
        "import sys; import svc.api.run, svc.worker.run; assert 'clickhouse_connect' not in sys.modules;"
        "from pkg.telemetry.clickhouse.config import ClickHouseConfig; ClickHouseConfig(url='http://h').open();"
        "assert 'clickhouse_connect' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
