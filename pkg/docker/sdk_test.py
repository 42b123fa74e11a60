import gc
import socket
from pathlib import Path

import docker.errors
import pytest
import requests.exceptions
from docker.transport.unixconn import UnixHTTPAdapter

from pkg.builders.testing import engine_socket
from pkg.docker.sdk import open_client


def test_a_refused_connection_leaves_no_socket(tmp_path: Path) -> None:
    """Promise: an engine that is away costs no descriptor; a leaked one would be warned of, and fail this test."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(path)  # and does not listen
        with pytest.raises((docker.errors.DockerException, requests.exceptions.RequestException)):
            open_client(path, timeout_s=2)
        gc.collect()


def test_requests_share_connections() -> None:
    """Promise: one pool serves every path, in the API version that the engine prefers."""
    with open_client(str(engine_socket()), timeout_s=10) as client:
        assert client.ping()
        assert client.version()["ApiVersion"] == client.api_version
        adapter = client.get_adapter(client.base_url)
        assert isinstance(adapter, UnixHTTPAdapter)
        assert adapter.get_connection("/containers/a/json") is adapter.get_connection("/version")
