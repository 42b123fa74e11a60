"""The section `[tls]`: who issues certificates."""

import base64
import binascii
from pathlib import Path

from pkg.config import Secret, Strict
from pkg.config.sections import is_loopback_host, url_parts, url_problems
from pkg.dns_providers.config import Rfc2136

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


class Tls(Strict):
    """HTTPS for the apps and for the installation itself.

    Without an e-mail address, the installation's own certificate authority issues all certificates (`sealift trust`).

    Attributes:
        enabled: false: no certificates are issued, and all is plain HTTP.
        email: turns ACME on; the certificate authority writes to it about problems.
        directory: URL of the ACME directory.
        ca_file: PEM of the authorities that the ACME server's own certificate is checked with; "": the usual ones.
        eab_key_id: of the external account binding, where the authority asks for one.
        eab_hmac_key: its key, in base64url, as the authority shows it.
        dns: a DNS server that takes updates, for wildcard certificates; absent: none.
    """

    enabled: bool = True
    email: str = ""
    directory: str = LETS_ENCRYPT
    ca_file: str = ""
    eab_key_id: str = ""
    eab_hmac_key: Secret = Secret("")
    dns: Rfc2136 | None = None

    def problems(self) -> list[str]:
        """ACME needs an e-mail address; the directory is https; both parts of a binding are set, or none."""
        found = self._acme_problems() if self.email else self._unused()
        if self.ca_file and not Path(self.ca_file).is_absolute():
            found.append(f"ca_file: {self.ca_file!r} is not an absolute path")
        return found

    def _acme_problems(self) -> list[str]:
        found = []
        name, at, host = self.email.partition("@")
        if not (name and at and "." in host) or not self.email.isprintable() or " " in self.email:
            found.append(f"email: {self.email!r} is no e-mail address")
        found += url_problems("directory", self.directory)
        parts = url_parts(self.directory)
        if parts is not None and parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
            found.append(f"directory: {self.directory!r} must be https: it is where account keys are registered")
        if bool(self.eab_key_id) != bool(self.eab_hmac_key):
            found.append("eab_key_id: is set together with eab_hmac_key, or neither is")
        if self.eab_hmac_key and not _is_base64url(self.eab_hmac_key.reveal()):
            found.append("eab_hmac_key: expected the key in base64url, as the authority shows it")
        return found

    def _unused(self) -> list[str]:
        """What would have no effect without an e-mail address."""
        is_set = {
            "directory": self.directory != LETS_ENCRYPT,
            "ca_file": bool(self.ca_file),
            "eab_key_id": bool(self.eab_key_id),
            "eab_hmac_key": bool(self.eab_hmac_key),
            "dns": self.dns is not None,
        }
        why = "is for ACME, which needs email; without it the local certificate authority issues"
        return [f"{key}: {why}" for key, value in is_set.items() if value]

    @property
    def uses_acme(self) -> bool:
        """Whether an ACME server issues; else the local authority does."""
        return bool(self.email)


def _is_base64url(text: str) -> bool:
    try:
        return len(base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), b"-_", validate=True)) > 0
    except (binascii.Error, ValueError):
        return False
