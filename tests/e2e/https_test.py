"""Promise: without any setting, apps and the api answer by HTTPS with certificates of the installation itself."""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from tests.harness import apps
from tests.harness.http import get
from tests.harness.stack import Stack
from tests.harness.wait import eventually


@contextlib.contextmanager
def _connected(address: str, server_name: str) -> Iterator[ssl.SSLSocket]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), 10) as plain,
        context.wrap_socket(plain, server_hostname=server_name) as tls,
    ):
        yield tls


def _names(address: str, server_name: str) -> list[str]:
    """For which names the certificate is that is shown for one; none when the handshake is refused."""
    try:
        with _connected(address, server_name) as tls:
            shown = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
    except (ssl.SSLError, ConnectionError):
        return []
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name) for name in names.get_values_for_type(x509.DNSName)]


def _ask(address: str, host: str, path: str = "/") -> tuple[int, str]:
    """Status and body of a GET by HTTPS."""
    with _connected(address, host) as tls:
        tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(tls)
        answer.begin()
        return answer.status, answer.read().decode()


def test_apps_and_the_api_answer_by_https(stack: Stack, project: str, tmp_path: Path) -> None:
    """The same answer as by plain HTTP, which is not redirected; unknown names are refused."""
    address = stack.endpoints["ingress_tls"]
    eventually(lambda: "*.sealift.localhost" in _names(address, "any.sealift.localhost"), within_s=30, what="HTTPS")
    result = stack.deploy(apps.app(tmp_path / "app"), project)
    assert result.code == 0
    host = f"{project}.sealift.localhost"
    status, body = _ask(address, host)
    assert (status, body.strip()) == (200, get(stack.url(project)).body)
    status, body = _ask(address, "sealift.localhost", "/metrics")
    assert (status, "sealift_" in body) == (404, False)
    status, body = _ask(address, "sealift.localhost", "/sealift.ctrl.v1.CtrlService/Liveness")
    assert status == 405, f"an RPC takes POST only: {body}"
    assert _names(address, "example.com") == []
