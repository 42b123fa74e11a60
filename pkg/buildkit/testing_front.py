"""A Docker engine's BuildKit offered as a buildkitd of its own: on a unix socket, and on TCP with mutual TLS.

There is no packaged buildkitd to test with; at the other end of such a front a client can't tell the difference.
"""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pkg.buildkit.channel import EngineBridge

SERVER_NAME = "buildkit.test"


class Authority:
    """A certificate authority, and what it signs. All of it is valid for a day.

    Attributes:
        pem: its certificate.
    """

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        basics = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = _draft(self._name, self._name, self._key.public_key(), basics).sign(
            self._key, hashes.SHA256()
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, *names: str) -> "KeyPair":
        """A key and its certificate for a server or client with these DNS names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        draft = _draft(subject, self._name, key.public_key(), x509.BasicConstraints(ca=False, path_length=None))
        signed = draft.add_extension(alternatives, critical=False).add_extension(uses, critical=False)
        certificate = signed.sign(self._key, hashes.SHA256())
        encoding = serialization.Encoding.PEM
        packed = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return KeyPair(certificate.public_bytes(encoding), packed)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, PEM."""

    cert: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Writes NAME.pem and NAME.key (0600); their paths."""
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        cert.write_bytes(self.cert)
        key.touch(0o600)
        key.write_bytes(self.key)
        return cert, key


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


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, basics: x509.BasicConstraints
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(basics, critical=True)
    )
