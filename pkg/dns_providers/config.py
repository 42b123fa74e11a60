"""The sections that configure DNS providers, one for each adapter."""

import base64
import binascii
from typing import Literal

from pkg.config import Secret, Strict
from pkg.config.sections import DNS_PORT, split_address

MAX_PROPAGATION_S = 60


class Rfc2136(Strict):
    """A DNS server that takes dynamic updates (RFC 2136), signed with a key (TSIG), such as BIND, Knot and PowerDNS.

    Attributes:
        provider: what takes the updates; "rfc2136".
        server: host or host:port of the primary server, e.g. "10.0.0.53" or "2001:db8::53"; the port is 53 by default.
        zone: that it may change, e.g. "example.com".
        key_name: of the TSIG key.
        key_secret: of the TSIG key, in base64.
        algorithm: of the TSIG key.
        propagation_s: how long the secondary servers need for a change, 0 to 60; only then is the certificate authority
            told to look.
    """

    provider: Literal["rfc2136"] = "rfc2136"
    server: str
    zone: str
    key_name: str
    key_secret: Secret
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    propagation_s: int = 0

    def problems(self) -> list[str]:
        """The server is an address, the zone a name, the secret base64."""
        found = [] if self._has_address() else [f"server: expected host or host:port, got {self.server!r}"]
        if not self.zone.strip("."):
            found.append("zone: is empty; name the zone that the key may change")
        if not self.key_name.strip("."):
            found.append("key_name: is empty")
        try:
            has_key = len(base64.b64decode(self.key_secret.reveal(), validate=True)) > 0
        except (binascii.Error, ValueError):
            has_key = False
        if not has_key:
            found.append("key_secret: expected the key in base64, as tsig-keygen writes it")
        if not 0 <= self.propagation_s <= MAX_PROPAGATION_S:
            found.append(f"propagation_s: expected 0 to {MAX_PROPAGATION_S}, got {self.propagation_s}")
        return found

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the server. Raises ValueError when it is neither host nor host:port."""
        return split_address(self.server, DNS_PORT)

    def _has_address(self) -> bool:
        try:
            return self.address[1] != 0
        except ValueError:
            return False

    def covers(self, hostname: str) -> bool:
        """Whether records of the hostname, or of what a wildcard stands below, are in the zone."""
        zone = self.zone.strip(".").lower()
        name = hostname.removeprefix("*.")
        return name == zone or name.endswith(f".{zone}")
