"""The installation's own certificate authority: made once, issues for every name. Pure but for randomness.

The forms are those that browsers, curl, OpenSSL, Go and Apple's systems accept: P-256; critical basic constraints and
key usage; subject and authority key identifiers; for servers the extended key usage serverAuth, names in the subject
alternative name, and at most 825 days. The authority has no name constraints: domains are added later, and a change of
them would be another authority, to be trusted again on every machine.
"""

import datetime
from dataclasses import dataclass
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pkg.certificates.schedule import DAY_MS, HOUR_MS

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 90
# Clocks of clients may be behind.
BACKDATED_MS = HOUR_MS
# The authority is made again while what it signs can still live its whole life.
AUTHORITY_RENEWED_DAYS = 2 * CERTIFICATE_DAYS
_MAX_COMMON_NAME_CHARS = 64

_PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Issued:
    """A certificate, its issuers below it, and its key, PEM."""

    chain_pem: str
    key_pem: bytes
    not_before: int
    not_after: int

    def __repr__(self) -> str:
        return f"Issued({self.not_before}..{self.not_after})"


def new_key_pem() -> bytes:
    """A new P-256 key, PKCS #8."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def make_authority(installation_id: str, now: int) -> Issued:
    """A new authority, valid for ten years. Its name ends like `installation_id`: a machine may trust several."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sealift"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Sealift local CA {installation_id[-12:]}"),
        ]
    )
    not_before, not_after = now - BACKDATED_MS, now + AUTHORITY_DAYS * DAY_MS
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        _draft(name, name, key, not_before, not_after)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Issued(_certificate_pem(made), _pem(key), not_before, not_after)


def issue(authority_pem: str, authority_key_pem: bytes, names: tuple[str, ...], now: int) -> Issued:
    """A certificate for these names (1 and up) with a new key, valid for 90 days, or as long as the authority is.

    Args:
        authority_pem: the authority's certificate.
        authority_key_pem: its key.
        names: hostnames and wildcards, as A-labels.
        now: epoch ms.
    """
    authority = x509.load_pem_x509_certificate(authority_pem.encode())
    authority_key = serialization.load_pem_private_key(authority_key_pem, None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    not_before = now - BACKDATED_MS
    not_after = min(now + CERTIFICATE_DAYS * DAY_MS, int(authority.not_valid_after_utc.timestamp() * 1000))
    # the subject says no more than the alternative names, and is limited to 64 characters
    is_short = len(names[0]) <= _MAX_COMMON_NAME_CHARS
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if is_short else [])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    subject_key = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    made = (
        _draft(subject, authority.subject, key, not_before, not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternatives, critical=not is_short)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return Issued(_certificate_pem(made) + authority_pem, _pem(key), not_before, not_after)


def _draft(
    subject: x509.Name, issuer: x509.Name, key: _PrivateKey, not_before: int, not_after: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(not_before))
        .not_valid_after(_time(not_after))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _time(epoch_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(epoch_ms // 1000, datetime.UTC)


def _pem(key: _PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
