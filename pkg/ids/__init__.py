"""Ids: a prefix and 128 bits in lower-case base32, ordered by time, unguessable.

48 bits of epoch milliseconds, then 80 random bits (the layout of a ULID). They become image, host and Kubernetes
names, so the alphabet is that of a DNS label once the underscore is gone (`dns_label`).
"""

import re
import secrets
import time

PREFIXES = frozenset({
    "ws", "proj", "env", "dep", "bld", "ins", "op", "key", "req", "inst", "drain", "aud", "cert", "ord", "dom", "del",
    "job", "exec",
})  # fmt: skip
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u
_LENGTH = 26
_BODY = re.compile(rf"[{_ALPHABET}]{{{_LENGTH}}}")


def new_id(prefix: str, now_ms: int | None = None) -> str:
    """A new id such as "dep_06b7k3...". `prefix` is one of PREFIXES; `now_ms` is for tests."""
    if prefix not in PREFIXES:
        raise ValueError(f"unknown id prefix {prefix!r}")
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    number = (milliseconds & (1 << 48) - 1) << 80 | secrets.randbits(80)
    digits = [_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(digits)}"


def is_id(prefix: str, text: str) -> bool:
    """Whether `text` has the form of an id with this prefix."""
    head, _, body = text.partition("_")
    return head == prefix and _BODY.fullmatch(body) is not None


def dns_label(some_id: str) -> str:
    """The id as a DNS label and container name: "dep_06b7" becomes "dep-06b7"."""
    return some_id.replace("_", "-")


def short(some_id: str, length: int = 4) -> str:
    """The last `length` characters: random ones, for a suffix that distinguishes two ids."""
    return some_id[-length:]
