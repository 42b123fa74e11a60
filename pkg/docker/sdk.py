"""The `docker` SDK's client on a unix socket, with a transport that leaves no socket behind.

The SDK's own transport drops the socket of a refused connection unclosed, and keeps a pool for each URL it ever asked.
"""

import socket
from collections.abc import Mapping

import docker
from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

# Spoken only to ask which one the engine speaks; every engine answers /version in any.
_FIRST_VERSION = "1.24"
_POOL_CONNECTIONS = 10


def open_client(
    socket_path: str, *, timeout_s: int, open_timeout_s: int | None = None, pool_connections: int = _POOL_CONNECTIONS
) -> docker.APIClient:
    """A client of the engine at `socket_path` in the API version that the engine prefers. It blocks; close it.

    Args:
        socket_path: absolute.
        timeout_s: of a connection, and of each wait for bytes of an answer.
        open_timeout_s: the same for the request that this function makes; by default `timeout_s`.
        pool_connections: so many idle connections are kept.

    Raises:
        docker.errors.DockerException: the engine refused, or its API is too old.
        requests.exceptions.RequestException: it did not answer.
    """
    with _client(socket_path, _FIRST_VERSION, open_timeout_s or timeout_s, 1) as first:
        version = str(first.version(api_version=False)["ApiVersion"])
    return _client(socket_path, version, timeout_s, pool_connections)


def _client(socket_path: str, version: str, timeout_s: int, pool_connections: int) -> docker.APIClient:
    client = docker.APIClient(base_url=f"unix://{socket_path}", version=version, timeout=timeout_s)
    client.mount("http+docker://", _Adapter(socket_path, timeout_s, pool_connections))
    return client


class _Connection(UnixHTTPConnection):
    def connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.timeout)
            connection.connect(self.unix_socket)
        except BaseException:
            connection.close()
            raise
        self.sock = connection


class _Pool(UnixHTTPConnectionPool):
    def __init__(self, socket_path: str, timeout_s: int, pool_connections: int) -> None:
        super().__init__("http+docker://localhost", socket_path, timeout_s, pool_connections)
        self._timeout_s = timeout_s

    def _new_conn(self) -> _Connection:  # type: ignore[override]  # its protocol has parts that urllib3 does not need
        return _Connection(self.base_url, self.socket_path, self._timeout_s)


class _Adapter(UnixHTTPAdapter):
    def __init__(self, socket_path: str, timeout_s: int, pool_connections: int) -> None:
        super().__init__(f"http+unix://{socket_path}", timeout_s)
        self._pool = _Pool(socket_path, timeout_s, pool_connections)

    def get_connection(self, url: str | bytes, proxies: Mapping[str, str] | None = None) -> _Pool:
        return self._pool

    def close(self) -> None:
        super().close()
        self._pool.close()
