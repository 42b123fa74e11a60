"""The last complete desired state on disk, so that krane serves and heals while the control plane is away.

A sealed file: a header, then the feed's own messages of a snapshot. It holds tenants' variables.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from google.protobuf.message import DecodeError

from pkg.desired.capabilities import registered
from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.desired import DesiredState, FeedError
from svc.krane.controller.sealed_file import SealedFile

log = logging.getLogger(__name__)


class _Header(msgspec.Struct):
    """Before the messages.

    Attributes:
        capabilities: of the krane that stored it; none: of one from before they were told.
        unsupported: versions of changes that it did not understand.
    """

    installation_id: str
    capabilities: tuple[str, ...] = ()
    unsupported: tuple[int, ...] = ()


class SnapshotFile:
    """The file `desired.snapshot` in krane's state directory. See `SealedFile` for its writes."""

    def __init__(self, folder: Path, key_file_content: bytes, region: str) -> None:
        purpose = b"sealift krane snapshot\0" + region.encode()
        self._file = SealedFile(folder / "desired.snapshot", b"SLKS1\n", key_file_content.strip(), purpose)
        self.path = self._file.path
        self.store = self._file.store
        self.sweep = self._file.sweep

    def load(self, into: DesiredState) -> str | None:
        """Brings the stored state into force; answers the installation it is of, or None when there is none usable.

        A file that is damaged or of another key is logged and left alone: the next write replaces it.
        """
        try:
            frames = self._file.load()
            header = msgspec.json.decode(frames[0], type=_Header)
            messages = [pb.WatchDesiredStateResponse.FromString(frame) for frame in frames[1:]]
            fresh = DesiredState()
            for message in messages:
                fresh.apply(message, from_api=False)
            if not fresh.is_complete:
                raise ValueError("no end mark")
        except FileNotFoundError:
            return None
        except (ValueError, msgspec.DecodeError, DecodeError, FeedError) as error:
            log.warning("the stored snapshot cannot be used; waiting for the api", extra=fields(error=str(error)))
            return None
        for message in messages:
            into.apply(message, from_api=False)
        into.note_unsupported(header.unsupported)
        # what another krane skipped may be what this one understands
        into.is_partial = registered(header.capabilities) != into.capabilities
        return header.installation_id

    def encode(self, state: DesiredState, installation_id: str) -> bytes:
        """The file's content for the state in force."""
        capabilities, unsupported = tuple(sorted(state.capabilities)), tuple(state.unsupported_versions())
        header = msgspec.json.encode(_Header(installation_id, capabilities, unsupported))
        return self._file.encode([header, *(message.SerializeToString() for message in state.messages())])


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
        """The generation of the latest change."""
        return self._changes

    def changed(self) -> int:
        """The state in force is another; answers its save generation, for `wait_saved`."""
        self._changes += 1
        self._wake.set()
        return self._changes

    async def wait_saved(self, generation: int, timeout_s: float) -> bool:
        """Waits until the change of this save generation is on disk; False when time ran out (disk full)."""
        try:
            async with asyncio.timeout(timeout_s), self._written:
                await self._written.wait_for(lambda: self._saved >= generation)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Writes until cancelled; a write that fails is tried again."""
        backoff = Backoff(0.2, 10)
        while True:
            await self._wake.wait()
            self._wake.clear()
            generation = self._changes
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
                self._saved = generation
                self._written.notify_all()

    async def close(self) -> None:
        """A write under way finishes in its thread (it is atomic either way)."""
        self._pool.shutdown(wait=False, cancel_futures=True)
