"""Which certificate a hostname is served with. No I/O."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from svc.krane.ingress.messages import SECRET, message
from svc.krane.ingress.port import Certificate


@dataclass(frozen=True)
class Secret:
    """A certificate as Envoy takes it.

    Attributes:
        version: Another one for each content.
        content: With the private key; in no log.
    """

    certificate_id: str
    version: str
    content: bytes = field(repr=False)

    def named(self, name: str) -> bytes:
        """The secret under `name`, serialised. The content is not copied into a message for each hostname."""
        head: bytes = message(SECRET, {"name": name}).SerializeToString()
        return head + self.content


class Certificates:
    """The certificates of the region, and the best one for each hostname.

    An exact name precedes a wildcard, then the one that expires last is taken, whether or not it has expired: a
    browser's warning beats a closed connection.

    Attributes:
        refused: By certificate id, those that Envoy does not take, with its words. They are passed over.
    """

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        self._certificates: dict[str, Certificate] = {}
        self._by_name: dict[str, list[Certificate]] = {}
        self._secrets: dict[str, Secret] = {}

    def set(self, certificates: Mapping[str, Certificate]) -> bool:
        """Replaces all; whether anything changed. One that was refused and has another content now is tried again."""
        if certificates == self._certificates:
            return False
        for certificate_id, certificate in self._certificates.items():
            if certificates.get(certificate_id) != certificate:
                self.refused.pop(certificate_id, None)
                self._secrets.pop(certificate_id, None)
        self._certificates = dict(certificates)
        self._by_name = {}
        for certificate in certificates.values():
            for name in certificate.names:
                self._by_name.setdefault(name.lower(), []).append(certificate)
        for found in self._by_name.values():
            found.sort(key=lambda one: (one.not_after, one.certificate_id), reverse=True)
        return True

    def find(self, server_name: str) -> Secret | None:
        """What to serve `server_name` with; None: nothing. Upper case and a dot at the end make no difference."""
        certificate = self._best(server_name)
        return None if certificate is None else self._secret(certificate)

    def covers(self, hostname: str) -> bool:
        """Whether there is one for it."""
        return self._best(hostname) is not None

    def is_exact(self, server_name: str) -> bool:
        """Whether a certificate names it, and not a wildcard only."""
        return _plain(server_name) in self._by_name

    def refuse(self, certificate_id: str, reason: str) -> None:
        """Envoy does not take this one: it is passed over until it is replaced."""
        if certificate_id in self._certificates:
            self.refused[certificate_id] = reason

    def _best(self, server_name: str) -> Certificate | None:
        name = _plain(server_name)
        for candidate in (name, f"*.{name.partition('.')[2]}"):
            for certificate in self._by_name.get(candidate, ()):
                if certificate.certificate_id not in self.refused:
                    return certificate
        return None

    def _secret(self, certificate: Certificate) -> Secret:
        found = self._secrets.get(certificate.certificate_id)
        if found is None:
            pair = message(SECRET, {"tls_certificate": {}})
            pair.tls_certificate.certificate_chain.inline_bytes = certificate.chain_pem
            pair.tls_certificate.private_key.inline_bytes = certificate.private_key_pem
            digest = hashlib.sha256(certificate.chain_pem + b"\0" + certificate.private_key_pem).hexdigest()
            found = Secret(certificate.certificate_id, digest[:32], pair.SerializeToString())
            self._secrets[certificate.certificate_id] = found
        return found


def _plain(server_name: str) -> str:
    return server_name.lower().removesuffix(".")
