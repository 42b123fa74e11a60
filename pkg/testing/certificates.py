"""Certificates for tests: an authority and what it signs."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority, and what it signs. Its own certificate is valid for a day.

    Attributes:
        key: its own.
        certificate: its own.
        pem: its certificate, PEM.
    """

    def __init__(self, name: str = "test authority") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        basics = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = _draft(self._name, self._name, self.key.public_key(), basics).sign(self.key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        *names: str,
        organization: str | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
        ends_in: datetime.timedelta = DAY,
    ) -> "KeyPair":
        """A key and its certificate for a server or client with these DNS names and addresses; the first is its name.

        Kubernetes takes the first one as a user, and the organization as the user's group.

        Args:
            names: DNS names and addresses.
            organization: of the subject.
            key: None: a new one.
            ends_in: until it expires; negative for one that has expired.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, names[0])]
        if organization:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        subject = x509.Name(attributes)
        basics = x509.BasicConstraints(ca=False, path_length=None)
        draft = _draft(subject, self._name, key.public_key(), basics, ends_in)
        signed = draft.add_extension(alternatives, critical=False).add_extension(uses, critical=False)
        certificate = signed.sign(self.key, hashes.SHA256())
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


def _draft(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    basics: x509.BasicConstraints,
    ends_in: datetime.timedelta = DAY,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    ends_at = now + ends_in
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, ends_at) - datetime.timedelta(minutes=5))
        .not_valid_after(ends_at)
        .add_extension(basics, critical=True)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
