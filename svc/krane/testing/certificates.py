"""Self-signed certificates for tests."""

import datetime
import itertools

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from svc.krane.ingress.port import Certificate

_ids = itertools.count(1)
_KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(*names: str, days: float = 90, key: ec.EllipticCurvePrivateKey = _KEY) -> Certificate:
    """A certificate for `names`, by a key that all of them share, that expires in so many days."""
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - datetime.timedelta(days=365))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        f"crt_{next(_ids)}",
        names,
        made.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        int(until.timestamp() * 1000),
    )


def by_id(*certificates: Certificate) -> dict[str, Certificate]:
    """As the ingress takes them."""
    return {one.certificate_id: one for one in certificates}
