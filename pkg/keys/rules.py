"""The form of access keys and what is stored of them. Pure."""

import base64
import hashlib
import hmac
import re
import secrets

PREFIX = "slk_"
_RANDOM_BYTES = 25  # 40 characters of base32
_FORM = re.compile(r"slk_[A-Za-z0-9]{32,128}")
_HINT_CHARS = 8


def new_key() -> str:
    """A new key: "slk_" and 200 random bits in lower-case base32."""
    return PREFIX + base64.b32encode(secrets.token_bytes(_RANDOM_BYTES)).decode().lower()


def is_key(text: str) -> bool:
    """Whether `text` has the form of a key."""
    return _FORM.fullmatch(text) is not None


def hash_of(key: str) -> str:
    """What is stored: sha256, hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def matches(key: str, stored_hash: str) -> bool:
    """Whether the key is the one behind the stored hash; takes the same time for every answer."""
    return hmac.compare_digest(hash_of(key), stored_hash)


def hint_of(key: str) -> str:
    """The first characters, by which people distinguish keys."""
    return key[:_HINT_CHARS]
