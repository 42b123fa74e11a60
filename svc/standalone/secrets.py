"""The keys of an installation, made at its first start, each in a 0600 file. There are no default credentials.

| file | what |
| --- | --- |
| admin.key | api key of role admin: the CLI on this machine finds it by itself |
| supervisor.key | api key of role admin: the supervisor's, for drains |
| krane.key | api key of role cluster: krane's |
| master.key | wraps the data keys of the vault; without it sealed variables are lost |
| urls.key | signs upload and download URLs |
| restate.pem | signs Restate's requests to the worker; restate.pub is what the worker checks against |
"""

import base64
import secrets
from pathlib import Path

from pkg.config.secret_files import ensure_key_file, ensure_secret_file

KEY_BYTES = 32
ADMIN_KEY_FILE = "admin.key"
SUPERVISOR_KEY_FILE = "supervisor.key"
KRANE_KEY_FILE = "krane.key"
ADMIN_KEY_NAME = "admin"
# The api knows the supervisor's own drains by it, also after the file was made again; migration 0010 writes it, too.
SUPERVISOR_KEY_NAME = "supervisor"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def ensure_secrets(directory: Path) -> None:
    """Make the keys that are missing; never touches one that exists.

    Raises:
        pkg.config.ConfigError: an existing one can be read by others or is cut short.
    """
    for name in (ADMIN_KEY_FILE, SUPERVISOR_KEY_FILE, KRANE_KEY_FILE):
        ensure_secret_file(directory / name, (new_api_key() + "\n").encode)
    for name in ("master.key", "urls.key"):
        ensure_key_file(directory / name, KEY_BYTES)
    pem = ensure_secret_file(directory / "restate.pem", _new_identity)
    ensure_secret_file(directory / "restate.pub", lambda: identity_public_key(pem).encode())


def new_api_key() -> str:
    """A bearer key: `slk_` and 256 random bits in lower-case base32."""
    return "slk_" + base64.b32encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=").lower()


def identity_public_key(pem: bytes) -> str:
    """What a worker is given to check Restate's signatures: `publickeyv1_` and the raw ed25519 key in base58."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(pem, password=None)
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return "publickeyv1_" + base58(raw)


def base58(raw: bytes) -> str:
    """Bitcoin's base58, without a checksum; each leading zero byte is a `1`."""
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def _new_identity() -> bytes:
    # Imported here: only the very first start pays for it.
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
