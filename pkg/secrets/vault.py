"""AES-256-GCM with a data key per environment.

Layout of a wrapped key:   0x01 | id of the master key (8) | nonce (12) | data key (32) | tag (16)
Layout of a sealed value:  0x01 | nonce (12) | ciphertext | tag (16)

Nonces are random: NIST SP 800-38D allows 2**32 of them per key, far more values than an environment ever stores.
"""

import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pkg.config import ConfigError, read_secret_file
from pkg.errors import Internal
from pkg.secrets.associated_data import AssociatedData
from pkg.secrets.derived_keys import KeyPurpose, derive_key

MASTER_KEY_BYTES = 32
MAX_PLAINTEXT_BYTES = 4 << 20
_DATA_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_VERSION = b"\x01"
_KEY_ID_BYTES = 8
_WRAPPED_BYTES = len(_VERSION) + _KEY_ID_BYTES + _NONCE_BYTES + _DATA_KEY_BYTES + _TAG_BYTES
# What is authenticated with the ciphertext begins with its purpose: a sealed value never passes for a wrapped key.
_WRAP_AAD = b"sealift/data-key/1\0"
_SEAL_AAD = b"sealift/sealed/1\0"


class Vault:
    """Seals and opens values. Holds the master key in memory only; safe from any thread."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != MASTER_KEY_BYTES:
            raise Internal("vault.master_key", f"a master key has {MASTER_KEY_BYTES} bytes, this one {len(master_key)}")
        self._master_key = master_key
        self._master = AESGCM(master_key)
        self._key_id = hashlib.sha256(b"sealift/master-key-id/1\0" + master_key).digest()[:_KEY_ID_BYTES]

    def __repr__(self) -> str:
        return f"Vault(master key {self._key_id.hex()})"

    def derived_key(self, purpose: KeyPurpose) -> bytes:
        """A key of 32 bytes for something else than sealing: the same in every process with this master key."""
        return derive_key(self._master_key, purpose)

    def new_data_key(self) -> bytes:
        """A new data key, wrapped: store it with what it will seal. 69 bytes."""
        nonce = os.urandom(_NONCE_BYTES)
        wrapped = self._master.encrypt(nonce, AESGCM.generate_key(_DATA_KEY_BYTES * 8), _WRAP_AAD + self._key_id)
        return _VERSION + self._key_id + nonce + wrapped

    def seal(self, wrapped_key: bytes, plaintext: bytes, bound_to: AssociatedData) -> bytes:
        """`plaintext` (at most 4 MiB), encrypted; two seals of the same differ. 29 bytes longer.

        `bound_to` says where the value belongs; the same is needed to open it.

        Raises:
            Internal: vault.too_large, or what `open` raises for the key.
        """
        if len(plaintext) > MAX_PLAINTEXT_BYTES:
            raise Internal("vault.too_large", f"{len(plaintext)} bytes to seal; at most {MAX_PLAINTEXT_BYTES} are")
        nonce = os.urandom(_NONCE_BYTES)
        return (
            _VERSION + nonce + self._unwrap(wrapped_key).encrypt(nonce, plaintext, _SEAL_AAD + bound_to.text.encode())
        )

    def open(self, wrapped_key: bytes, sealed: bytes, bound_to: AssociatedData) -> bytes:
        """What was sealed.

        Raises:
            Internal: vault.master_key (the key was wrapped by another master key), vault.malformed (not from here),
                vault.not_authentic (changed, or sealed with another key or for another place).
        """
        key = self._unwrap(wrapped_key)
        head = len(_VERSION) + _NONCE_BYTES
        if len(sealed) < head + _TAG_BYTES or sealed[:1] != _VERSION:
            raise Internal("vault.malformed", f"{len(sealed)} bytes are no sealed value of version 1")
        try:
            return key.decrypt(sealed[1:head], sealed[head:], _SEAL_AAD + bound_to.text.encode())
        except InvalidTag:
            message = f"the value at {bound_to} was changed, or sealed with another key or for another place"
            raise Internal("vault.not_authentic", message) from None

    def _unwrap(self, wrapped_key: bytes) -> AESGCM:
        if len(wrapped_key) != _WRAPPED_BYTES or wrapped_key[:1] != _VERSION:
            raise Internal("vault.malformed", f"{len(wrapped_key)} bytes are no wrapped data key of version 1")
        key_id, rest = wrapped_key[1 : 1 + _KEY_ID_BYTES], wrapped_key[1 + _KEY_ID_BYTES :]
        if key_id != self._key_id:
            raise Internal(
                "vault.master_key",
                f"the data key was wrapped by master key {key_id.hex()}, this is {self._key_id.hex()}; "
                "restore the master key file that belongs to the database",
            )
        try:
            return AESGCM(self._master.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _WRAP_AAD + key_id))
        except InvalidTag:
            raise Internal("vault.not_authentic", "the wrapped data key was changed") from None


def load_master_key(path: Path) -> bytes:
    """The master key in a file that already exists.

    Only the supervisor makes one (`pkg.config.ensure_key_file(path, MASTER_KEY_BYTES)`): a service that made its own
    would seal values that no other process can open.

    Raises:
        ConfigError: config.secret_file when it is missing, readable by others or of another length.
    """
    key = read_secret_file(path)
    if len(key) != MASTER_KEY_BYTES:
        message = f"the master key file {path} has {len(key)} bytes instead of {MASTER_KEY_BYTES}"
        raise ConfigError("config.secret_file", f"{message}; restore it from a backup")
    return key
