"""Requests to apps through the ingress: glibc does not resolve *.localhost, so the Host header names the app."""

import http.client
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What came back; status 0: nothing did."""

    status: int
    body: str


def get(url: str, *, timeout_s: float = 5) -> Answer:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 80, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/", headers={"Host": parts.netloc})
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(errors="replace").strip())
    except OSError as error:
        return Answer(0, str(error))
    except http.client.HTTPException as error:
        return Answer(0, repr(error))
    finally:
        connection.close()
