"""The last complete desired state on disk, so that krane serves and heals while the control plane is away.

Format: "SLKS1" newline, 12 bytes nonce, AES-256-GCM of (header, then the feed's own messages of a snapshot, each with
its length before it). It holds tenants' variables: mode 0600, the key is drawn from krane's key file by HKDF.
"""

import asyncio
import logging
import os
import secrets
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.desired import DesiredState, FeedError

log = logging.getLogger(__name__)

_MAGIC = b"SLKS1\n"
_NONCE_BYTES = 12
_LENGTH = struct.Struct(">I")


class _Header(msgspec.Struct):
    installation_id: str


class SnapshotFile:
    """Reads and writes the file. Blocking: small and local; writes fsync, so run them in an executor."""

    def __init__(self, folder: Path, key_file_content: bytes, region: str) -> None:
        self.path = folder / "desired.snapshot"
        self._aad = b"sealift krane snapshot\0" + region.encode()
        kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=self._aad)
        self._cipher = AESGCM(kdf.derive(key_file_content.strip()))

    def load(self, into: DesiredState) -> str | None:
        """Brings the stored state into force; answers the installation it is of, or None when there is none usable.

        A file that is damaged or of another key is logged and left alone: the next write replaces it.
        """
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            header, messages = self._decode(raw)
            fresh = DesiredState()
            for message in messages:
                fresh.apply(message, from_api=False)
            if not fresh.is_complete:
                raise ValueError("no end mark")
        except (ValueError, InvalidTag, struct.error, msgspec.DecodeError, FeedError) as error:
            log.warning(
                "the stored snapshot cannot be used; waiting for the api",
                extra=fields(error=f"{type(error).__name__}: {error}"),
            )
            return None
        for message in messages:
            into.apply(message, from_api=False)
        return header.installation_id

    def encode(self, state: DesiredState, installation_id: str) -> bytes:
        """The file's content for the state in force."""
        parts = [_framed(msgspec.json.encode(_Header(installation_id)))]
        parts += [_framed(message.SerializeToString()) for message in state.messages()]
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _MAGIC + nonce + self._cipher.encrypt(nonce, b"".join(parts), self._aad)

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
        for draft in self.path.parent.glob("desired.*.tmp"):
            draft.unlink(missing_ok=True)

    def _decode(self, raw: bytes) -> tuple[_Header, list[pb.WatchDesiredStateResponse]]:
        if not raw.startswith(_MAGIC):
            raise ValueError("not a snapshot of this format")
        body = raw[len(_MAGIC) :]
        plain = self._cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], self._aad)
        frames = _unframed(plain)
        header = msgspec.json.decode(frames[0], type=_Header)
        return header, [pb.WatchDesiredStateResponse.FromString(frame) for frame in frames[1:]]


class SnapshotKeeper:
    """Writes the state in force after every change, one write at a time, coalescing changes that come meanwhile."""

    def __init__(self, file: SnapshotFile, state: DesiredState, installation_id: str) -> None:
        self._file = file
        self._state = state
        self._installation_id = installation_id
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
        self._changes = 0
        self._saved = 0
        self._wake = asyncio.Event()
        self._written = asyncio.Condition()

    @property
    def current(self) -> int:
        """The ticket of the latest change."""
        return self._changes

    def changed(self) -> int:
        """The state in force is another; answers a ticket for `wait_saved`."""
        self._changes += 1
        self._wake.set()
        return self._changes

    async def wait_saved(self, ticket: int, timeout_s: float) -> bool:
        """Waits until the change of this ticket is on disk; False when time ran out (disk full)."""
        try:
            async with asyncio.timeout(timeout_s), self._written:
                await self._written.wait_for(lambda: self._saved >= ticket)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Writes until cancelled; a write that fails is tried again."""
        backoff = Backoff(0.2, 10)
        while True:
            await self._wake.wait()
            self._wake.clear()
            ticket = self._changes
            try:
                content = self._file.encode(self._state, self._installation_id)
                await asyncio.get_running_loop().run_in_executor(self._pool, self._file.store, content)
            except OSError as error:
                log.error("the snapshot cannot be stored; trying again", extra=fields(error=str(error)))
                self._wake.set()
                await asyncio.sleep(backoff.next_s())
                continue
            backoff.reset()
            async with self._written:
                self._saved = ticket
                self._written.notify_all()

    async def close(self) -> None:
        """A write under way finishes in its thread (it is atomic either way)."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _framed(payload: bytes) -> bytes:
    return _LENGTH.pack(len(payload)) + payload


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
