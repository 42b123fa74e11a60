"""Texts about access keys."""

import time

_UNITS = (("d", 86400), ("h", 3600), ("min", 60))


def expiry_text(expires_at_ms: int, now_ms: float | None = None) -> str:
    """How long a key is valid, e.g. "expires in 12 d"; 0 means for ever."""
    if not expires_at_ms:
        return "does not expire"
    left_s = (expires_at_ms - (time.time() * 1000 if now_ms is None else now_ms)) / 1000
    if left_s <= 0:
        return "has expired"
    for unit, length in _UNITS:
        if left_s >= length:
            return f"expires in {int(left_s // length)} {unit}"
    return "expires in less than a minute"
