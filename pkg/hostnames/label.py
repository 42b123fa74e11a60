"""One DNS label out of marked parts: plain where that is unambiguous, with a hash suffix where it is not.

The plain grammar, tokens being what stands between hyphens:

    project [env environment] [git branch | dep id] [ws workspace]

It reads back in one way because project, environment and workspace hold no marker token and a branch holds no `ws`:
the last `ws` ends the name, the first `git` or `dep` begins the value, the first `env` begins the environment. No
plain label ends in a token of the hash's shape, so the two kinds never meet.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

MAX_LABEL_OCTETS = 63
HASH_DIGITS = 12  # 60 bits: finding a second name for someone's label takes about 2**60 hashes
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_HASH_TOKEN = re.compile(rf"x[{_DIGITS}]{{{HASH_DIGITS}}}")
_OTHERS = re.compile(r"[^a-z0-9]+")
_READABLE_OCTETS = MAX_LABEL_OCTETS - len("-x") - HASH_DIGITS


class Marker(StrEnum):
    """The markers that separate the parts of a label."""

    ENVIRONMENT = "env"
    BRANCH = "git"
    COMMIT = "commit"
    DEPLOYMENT = "dep"
    WORKSPACE = "ws"


class Part(NamedTuple):
    """One part. `marker` is None for the project, which comes first."""

    marker: Marker | None
    raw: str


def make_label(parts: Sequence[Part], *, identity: Sequence[str], hashed: bool = False) -> str:
    """The label of `parts`; `identity` is the full structured tuple that the hash is taken over.

    With `hashed` the suffix is there in any case: `identity` says more than the parts show.
    """
    plain = "-".join(token for part in parts for token in (part.marker and part.marker.value, part.raw) if token)
    if not hashed and len(plain) <= MAX_LABEL_OCTETS and all(map(_is_plain, parts)) and not _ends_in_hash(plain):
        return plain
    return f"{_readable(parts)}-{_hash(identity)}".lstrip("-")


def _is_plain(part: Part) -> bool:
    if not part.raw or _slug(part.raw) != part.raw:
        return False
    tokens = part.raw.split("-")
    if part.marker is Marker.BRANCH:
        return Marker.WORKSPACE.value not in tokens
    return not any(marker.value in tokens for marker in Marker)


def _ends_in_hash(label: str) -> bool:
    return _HASH_TOKEN.fullmatch(label.rpartition("-")[2]) is not None


def _slug(raw: str) -> str:
    return _OTHERS.sub("-", raw.lower()).strip("-")


def _readable(parts: Sequence[Part]) -> str:
    """The readable part, within the length that the hash leaves: the longest part is shortened first."""
    words = [(part.marker.value if part.marker else "", _slug(part.raw)[:MAX_LABEL_OCTETS]) for part in parts]
    while True:
        text = "-".join(token for pair in words for token in pair if token)
        if len(text) <= _READABLE_OCTETS:
            return text
        longest = max(range(len(words)), key=lambda index: len(words[index][1]))
        marker, word = words[longest]
        words[longest] = (marker, word[:-1].rstrip("-"))


def _hash(identity: Sequence[str]) -> str:
    # JSON keeps the borders of the parts; ASCII escapes keep lone surrogates encodable
    digest = hashlib.sha256(json.dumps(list(identity)).encode("ascii")).digest()
    number = int.from_bytes(digest[:8], "big") >> (64 - 5 * HASH_DIGITS)
    return "x" + "".join(_DIGITS[number >> shift & 31] for shift in range(5 * (HASH_DIGITS - 1), -1, -5))
