"""Opens HTTP/1.1 connections to a server: through the same proxy and with the same trust as calls. Blocking."""

import http.client
import socket
import ssl

from sealift.client.address import Address
from sealift.client.proxy import Proxy


def connect(
    server: Address, proxy: Proxy | None, *, timeout_s: float, ca_certificates: str = ""
) -> http.client.HTTPConnection:
    """A connection that opens with its first request.

    Args:
        server: where it leads.
        proxy: to tunnel through.
        timeout_s: for each read and write.
        ca_certificates: PEM of authorities that are trusted beside the system's.
    """
    context = None
    if server.is_tls:
        from sealift.client.trust import tls_context

        context = tls_context(ca_certificates)
    if proxy is None:
        if context is None:
            return _Direct(server, timeout_s)
        return _DirectTls(server, context, timeout_s)
    host, port = proxy.address.connect_host, proxy.address.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
        if context
        else http.client.HTTPConnection(host, port, timeout=timeout_s)
    )
    # Python before 3.12 omits the brackets of an IPv6 address in CONNECT
    target = f"[{server.host}]" if ":" in server.host and not server.is_tls else server.host
    connection.set_tunnel(target, server.port, proxy.headers)
    return connection


class _Direct(http.client.HTTPConnection):
    """Keeps the server's name in `Host` also where the connection goes to an address, as for `*.localhost`."""

    def __init__(self, server: Address, timeout_s: float) -> None:
        super().__init__(server.host, server.port, timeout=timeout_s)
        self._server = server

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.create_connection((self._server.connect_host, self._server.port), self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _DirectTls(http.client.HTTPSConnection):
    """Verifies the server's name also where the connection goes to an address, as for `*.localhost`."""

    def __init__(self, server: Address, context: ssl.SSLContext, timeout_s: float) -> None:
        super().__init__(server.host, server.port, timeout=timeout_s, context=context)
        self._server = server
        self._tls = context

    def connect(self) -> None:
        """Connect and do the handshake."""
        plain = socket.create_connection((self._server.connect_host, self._server.port), self.timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = self._tls.wrap_socket(plain, server_hostname=self._server.host)
        except BaseException:
            plain.close()
            raise
