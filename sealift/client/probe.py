"""Asks what answers at a URL that does not take calls: a page, a redirect, TLS where none was expected. Blocking."""

import contextlib
import http.client
import socket
import ssl
from urllib.parse import urlsplit

from sealift.client.address import Address, AddressError
from sealift.client.connection_problems import ConnectionProblem, not_the_api, tls_required
from sealift.client.http_connection import connect
from sealift.client.proxy import Proxy

TIMEOUT_S = 5.0


def probe(server: Address, proxy: Proxy | None, ca_certificates: str = "") -> ConnectionProblem | None:
    """What is wrong with `server`, by one GET without a key; None if that shows nothing."""
    connection = connect(server, proxy, timeout_s=TIMEOUT_S, ca_certificates=ca_certificates)
    try:
        connection.request("GET", "/", headers={"User-Agent": "sealift", "Accept": "*/*"})
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException):
        return tls_required(server) if not server.is_tls and _speaks_tls(server, proxy) else None
    finally:
        connection.close()
    if answer.getheader("X-Sealift-Deployment"):
        return not_the_api(server)
    if 300 <= answer.status < 400:
        return _redirect(server, answer.getheader("Location") or "")
    if "text/html" in (answer.getheader("Content-Type") or ""):
        return ConnectionProblem(
            code="connection.not_sealift",
            message=f"a web page answers at {server}, not a Sealift server: check the URL. In a network that wants a "
            "login in the browser, log in there first",
        )
    return None


def _redirect(server: Address, location: str) -> ConnectionProblem:
    """The target is named by scheme and host alone: the rest is somebody else's text."""
    try:
        parts = urlsplit(location)
        target = Address.parse(f"{parts.scheme}://{parts.netloc}")
    except (AddressError, ValueError):
        target = server
    if target == server:
        where = "a page on the same host"
    elif target.host == server.host and target.is_tls:
        where = f"{target}: use that URL"
    else:
        where = f"{target}: use that URL if it is the server's; a network may want a login in the browser first"
    return ConnectionProblem(
        code="connection.redirected", message=f"{server} does not take calls, and redirects to {where}"
    )


def _speaks_tls(server: Address, proxy: Proxy | None) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent
    connection = connect(server, proxy, timeout_s=TIMEOUT_S)
    try:
        connection.connect()
        sock: socket.socket | None = connection.sock
        if sock is None:
            return False
        with contextlib.closing(context.wrap_socket(sock, server_hostname=server.host)):
            return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
