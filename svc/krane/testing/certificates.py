"""Certificates for tests, as the ingress takes them."""

import datetime
import itertools

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pkg.testing.certificates import Authority
from svc.krane.ingress.port import Certificate

_ids = itertools.count(1)
_AUTHORITY = Authority()
_KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(*names: str, days: float = 90, key: ec.EllipticCurvePrivateKey = _KEY) -> Certificate:
    """A certificate for `names`, by a key that all of them share, that expires in so many days."""
    pair = _AUTHORITY.issue(*names, key=key, ends_in=datetime.timedelta(days=days))
    ends_at = x509.load_pem_x509_certificate(pair.cert).not_valid_after_utc
    return Certificate(f"crt_{next(_ids)}", names, pair.cert, pair.key, int(ends_at.timestamp() * 1000))


def by_id(*certificates: Certificate) -> dict[str, Certificate]:
    """As the ingress takes them."""
    return {one.certificate_id: one for one in certificates}
