"""A small file of krane's own: encrypted, replaced as a whole, durable.

Format: a magic line, 12 bytes nonce, AES-256-GCM of frames, each with its length before it. Mode 0600; the key is drawn
from krane's key file by HKDF, for one region and one purpose.
"""

import os
import secrets
import struct
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12
_LENGTH = struct.Struct(">I")


class SealedFile:
    """Reads and writes the file. Blocking: small and local; writes fsync, so run them in an executor.

    Args:
        path: of the file; its folder is made when missing.
        magic: first bytes of the file, its format.
        key: secret bytes of any length.
        purpose: what the content is and of which region; another one can't open it.
    """

    def __init__(self, path: Path, magic: bytes, key: bytes, purpose: bytes) -> None:
        self.path = path
        self._magic = magic
        self._purpose = purpose
        self._cipher = AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(key))

    def load(self) -> list[bytes]:
        """The frames that were stored.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is damaged, of another format, or of another key.
        """
        raw = self.path.read_bytes()
        if not raw.startswith(self._magic):
            raise ValueError("not a file of this format")
        body = raw[len(self._magic) :]
        try:
            return _unframed(self._cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], self._purpose))
        except (InvalidTag, struct.error) as error:
            raise ValueError(f"damaged, or of another key ({type(error).__name__})") from error

    def encode(self, frames: Iterable[bytes]) -> bytes:
        """The file's content."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        plain = b"".join(_LENGTH.pack(len(frame)) + frame for frame in frames)
        return self._magic + nonce + self._cipher.encrypt(nonce, plain, self._purpose)

    def store(self, content: bytes) -> None:
        """Replaces the file atomically and durably. Raises OSError (disk full); the old file stays then."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.path.with_suffix(f".{secrets.token_hex(4)}.tmp")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            draft.rename(self.path)
        finally:
            draft.unlink(missing_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def sweep(self) -> None:
        """Removes drafts that a crash left behind."""
        for draft in self.path.parent.glob(f"{self.path.stem}.*.tmp"):
            draft.unlink(missing_ok=True)


def _unframed(plain: bytes) -> list[bytes]:
    frames = []
    at = 0
    while at < len(plain):
        (length,) = _LENGTH.unpack_from(plain, at)
        at += _LENGTH.size
        if at + length > len(plain):
            raise ValueError("cut short")
        frames.append(plain[at : at + length])
        at += length
    if not frames:
        raise ValueError("empty")
    return frames
