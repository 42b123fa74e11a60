"""A Docker engine's BuildKit offered as a buildkitd of its own: on a unix socket, and on TCP with mutual TLS.

There is no packaged buildkitd to test with; at the other end of such a front a client can't tell the difference.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pkg.buildkit.channel import EngineBridge
from pkg.testing.certificates import KeyPair

SERVER_NAME = "buildkit.test"


class Front:
    """A front that is open.

    Attributes:
        address: for clients: "unix:///..." or "tcp://127.0.0.1:port".
    """

    def __init__(self, address: str, server: asyncio.Server, bridge: EngineBridge) -> None:
        self.address = address
        self._server = server
        self._bridge = bridge

    async def vanish(self) -> None:
        """Cuts every connection and takes no more, as a machine does that is gone. Idempotent."""
        self._server.close()
        await self._bridge.close()


@asynccontextmanager
async def unix_front(engine_socket: Path, path: Path) -> AsyncIterator[Front]:
    """The BuildKit of an engine on a unix socket at `path`."""
    bridge = EngineBridge(engine_socket)
    server = await asyncio.start_unix_server(bridge, path)
    front = Front(f"unix://{path}", server, bridge)
    try:
        yield front
    finally:
        await front.vanish()
        with suppress(FileNotFoundError):
            path.unlink()


@asynccontextmanager
async def mtls_front(
    engine_socket: Path, server: KeyPair, client_authority: bytes, folder: Path
) -> AsyncIterator[Front]:
    """The BuildKit of an engine on a free loopback port.

    Args:
        engine_socket: of the engine.
        server: what the front proves itself with.
        client_authority: PEM; clients without a certificate of it are refused.
        folder: for the key's file, which Python's TLS needs.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server.write(folder, "front"))
    context.load_verify_locations(cadata=client_authority.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    bridge = EngineBridge(engine_socket)
    listening = await asyncio.start_server(bridge, "127.0.0.1", 0, ssl=context)
    front = Front(f"tcp://127.0.0.1:{listening.sockets[0].getsockname()[1]}", listening, bridge)
    try:
        yield front
    finally:
        await front.vanish()
