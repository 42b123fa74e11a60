"""Requests to apps through the ingress, with a Host header, because glibc does not resolve *.localhost."""

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """A response; status 0: no response. Header names are in lower case."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)


def get(url: str, *, timeout_s: float = 5) -> Answer:
    """One request on a new connection."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 80, timeout=timeout_s)
    return _ask(connection, parts.path or "/", parts.netloc)


def get_by_socket(path: Path, target: str, *, timeout_s: float = 5) -> Answer:
    """One request to a unix socket."""
    connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(timeout_s)
    try:
        connection.sock.connect(str(path))
    except OSError as error:
        connection.close()
        return Answer(0, str(error))
    return _ask(connection, target, "localhost")


def _ask(connection: http.client.HTTPConnection, target: str, host: str) -> Answer:
    try:
        connection.request("GET", target, headers={"Host": host})
        response = connection.getresponse()
        head = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, response.read().decode(errors="replace").strip(), head)
    except OSError as error:
        return Answer(0, str(error))
    except http.client.HTTPException as error:
        return Answer(0, repr(error))
    finally:
        connection.close()
