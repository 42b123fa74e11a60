"""Expiring URLs: an HMAC over everything that the URL allows.

The signature is in the query: the holder of the URL may do that one thing until it expires. Never log the query.
"""

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from pkg.errors import PermissionDenied
from pkg.storage.settings import MAX_TTL_S

MIN_KEY_BYTES = 32
_DOMAIN = "sealift object url 1"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid URL allows: `method` on `path`; for PUT exactly `size_bytes` bytes with this `sha256`."""

    method: str
    path: str
    size_bytes: int = 0
    sha256: str = ""


class UrlSigner:
    """Makes and checks the query of a signed URL. All processes that share the key understand each other."""

    def __init__(self, key: bytes, now: Callable[[], float] = time.time) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"the URL signing key has {len(key)} bytes; at least {MIN_KEY_BYTES} are needed")
        self._key = key
        self._now = now

    def _signature(self, grant: Grant, expires: str) -> str:
        text = "\n".join((_DOMAIN, grant.method, grant.path, expires, str(grant.size_bytes), grant.sha256))
        return hmac.new(self._key, text.encode(), "sha256").hexdigest()

    def query(self, grant: Grant, ttl_s: int) -> str:
        """The query string that proves the grant for `ttl_s` seconds (1 second to 7 days)."""
        if not 1 <= ttl_s <= MAX_TTL_S:
            raise ValueError(f"ttl_s={ttl_s}: a signed URL lives for 1..{MAX_TTL_S} seconds")
        expires = str(int(self._now()) + ttl_s)
        fields = {"expires": expires}
        if grant.method == "PUT":
            fields |= {"size": str(grant.size_bytes), "sha256": grant.sha256}
        return urlencode(fields | {"signature": self._signature(grant, expires)})

    def check(self, method: str, path: str, query: Mapping[str, str]) -> Grant:
        """The grant behind a request. HEAD is allowed by a URL for GET.

        Raises:
            PermissionDenied: `object.url_invalid` or `object.url_expired`.
        """
        expires, size, sha256 = query.get("expires", ""), query.get("size", ""), query.get("sha256", "")
        signed_method = "GET" if method == "HEAD" else method
        # isdecimal also holds for other scripts' digits, which int() takes and a different text would then be signed
        sound = expires.isascii() and expires.isdecimal() and (size == "" or (size.isascii() and size.isdecimal()))
        grant = Grant(signed_method, path, int(size or 0) if sound and len(size) < 20 else 0, sha256)
        if not sound or not hmac.compare_digest(
            self._signature(grant, expires).encode(), query.get("signature", "").encode("utf-8", "replace")
        ):
            raise PermissionDenied(
                "object.url_invalid",
                f"this URL does not allow {method} here: its signature does not match. Ask for a new URL",
            )
        if int(expires) < self._now():
            raise PermissionDenied("object.url_expired", "this URL has expired. Ask for a new one")
        return grant
