"""Keys for other purposes than sealing, each derived from the master key by its purpose. Pure."""

from enum import StrEnum

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DERIVED_KEY_BYTES = 32


class KeyPurpose(StrEnum):
    """What a derived key is for. The values are HKDF's `info`: one that changes makes another key."""

    IDEMPOTENCY_PAYLOAD = "sealift/idempotency-payload/1"
    DOMAIN_TOKENS = "sealift/domain-tokens/1"


def derive_key(master_key: bytes, purpose: KeyPurpose) -> bytes:
    """32 bytes, the same for the same arguments: HKDF-SHA256 (RFC 5869) without salt."""
    return HKDF(SHA256(), DERIVED_KEY_BYTES, salt=None, info=purpose.encode()).derive(master_key)
