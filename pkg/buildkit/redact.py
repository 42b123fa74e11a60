"""Takes secrets out of everything that a builder says, before it is stored or shown.

Known values by value, and by shape what nobody told us: queries of URLs (that is where signatures are), passwords in
URLs, bearer tokens, keys of our own.
"""

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote_from_bytes

MASK = "***"
MIN_SECRET_BYTES = 4  # shorter ones would blank ordinary text
MIN_SECRET_LINE_BYTES = 8

_SHAPES = (
    (re.compile(r"(https?://[^\s\"'?<>`]+)\?[^\s\"'<>`]*"), rf"\1?{MASK}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@\"'<>]+@"), rf"\1{MASK}@"),
    (re.compile(r"(?i)\b(bearer|token)([ :=]+)[A-Za-z0-9._~+/-]{16,}=*"), rf"\1\2{MASK}"),
    (re.compile(r"\bslk_[A-Za-z0-9_-]+"), MASK),
)


class Redactor:
    """Replaces secrets by "***". Pure; safe to share.

    Args:
        secrets: values; each also as it looks without surrounding white space, line by line, in base64 and in a URL.
    """

    def __init__(self, secrets: Iterable[bytes] = ()) -> None:
        needles = sorted({n for secret in secrets for n in _forms(secret)}, key=len, reverse=True)
        self._needles = re.compile(b"|".join(map(re.escape, needles))) if needles else None
        # The longest one: who cuts text must redact that many bytes beyond the cut first.
        self.reach = len(needles[0]) if needles else 0

    def data(self, data: bytes) -> bytes:
        """`data` without the known values. Not yet without the shapes: those need text."""
        return self._needles.sub(MASK.encode(), data) if self._needles else data

    def text(self, text: str) -> str:
        """`text` without the known values and without what looks like a secret."""
        if self._needles:
            text = self.data(text.encode(errors="replace")).decode(errors="replace")
        return shapes(text)


def shapes(text: str) -> str:
    """`text` without what looks like a secret."""
    if "://" not in text and "slk_" not in text and "oken" not in text.lower() and "earer" not in text.lower():
        return text
    for pattern, replacement in _SHAPES:
        text = pattern.sub(replacement, text)
    return text


def _forms(secret: bytes) -> set[bytes]:
    value = secret.strip()
    if len(value) < MIN_SECRET_BYTES:
        return set()
    forms = {
        secret,
        value,
        base64.b64encode(secret),
        base64.b64encode(value),
        quote_from_bytes(value, safe="").encode(),
    }
    lines = value.splitlines()
    if len(lines) > 1:
        forms |= {line.strip() for line in lines if len(line.strip()) >= MIN_SECRET_LINE_BYTES}
    return forms
