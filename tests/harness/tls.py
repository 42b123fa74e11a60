"""Requests by HTTPS that trust every certificate, or one authority; what is shown for a name."""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator

from cryptography import x509

TIMEOUT_S = 60


@contextlib.contextmanager
def _connected(address: str, server_name: str, authority: str = "") -> Iterator[ssl.SSLSocket]:
    if authority:
        context = ssl.create_default_context(cadata=authority)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=server_name) as tls,
    ):
        yield tls


def shown(address: str, server_name: str) -> x509.Certificate | None:
    """The certificate that is shown for a name at host:port; None when the handshake is refused."""
    try:
        with _connected(address, server_name) as tls:
            return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
    except OSError:
        return None


def names(certificate: x509.Certificate | None) -> list[str]:
    """The hostnames that it is for."""
    if certificate is None:
        return []
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name) for name in found.get_values_for_type(x509.DNSName)]


def ask(address: str, host: str, path: str = "/", *, authority: str = "") -> tuple[int, str]:
    """Status and body of a GET at host:port; status 0: no response.

    `authority`: PEM of the only one that is trusted, by strict rules; "": anyone is.
    """
    try:
        with _connected(address, host, authority) as tls:
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = http.client.HTTPResponse(tls)
            answer.begin()
            return answer.status, answer.read().decode().strip()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
