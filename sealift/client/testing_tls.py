"""A certificate authority for tests, and what may answer at a URL instead of a Sealift server."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority.

    Attributes:
        certificate: its own, PEM.
    """

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = made.public_bytes(Encoding.PEM).decode()

    def issue(self, *names: str, starts_in_days: int = -1, ends_in_days: int = 1) -> tuple[bytes, bytes]:
        """Key and certificate (PEM) of a server with these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + starts_in_days * DAY)
            .not_valid_after(now + ends_in_days * DAY)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return private, made.public_bytes(Encoding.PEM)


@asynccontextmanager
async def http1_server(
    answer: bytes, tls: tuple[bytes, bytes] | None = None, folder: Path | None = None, alpn: Sequence[str] = ()
) -> AsyncIterator[int]:
    """Answers every connection with `answer` and closes it; yields its port.

    Args:
        answer: raw bytes.
        tls: key and certificate, None for plain HTTP.
        folder: where key and certificate can be written, with `tls`.
        alpn: protocols that are offered.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(4096)
            writer.write(answer)
            await writer.drain()
        except (OSError, ssl.SSLError):
            pass
        writer.close()

    context = None
    if tls and folder:
        (folder / "server.key").write_bytes(tls[0])
        (folder / "server.pem").write_bytes(tls[1])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        if alpn:
            context.set_alpn_protocols(list(alpn))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
