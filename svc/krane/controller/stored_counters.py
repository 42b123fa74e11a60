"""Counters of krane that are on its disk before they are reported: after a crash each count is reported once."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import grpc
import grpc.aio

from pkg.observability.logging import fields
from svc.krane.controller.sealed_file import SealedFile

log = logging.getLogger(__name__)

MAX_BATCH = 500

T = TypeVar("T")
Item = TypeVar("Item")


class CounterFile:
    """The file of one kind of counters. Its methods block.

    Args:
        path: of the file.
        magic, key, purpose: as of `SealedFile`.
        what: is counted, for the log: "requests", for example.

    Attributes:
        is_stored: whether the file holds what was to be stored last.
    """

    def __init__(self, path: Path, magic: bytes, key: bytes, purpose: str, what: str) -> None:
        self._file = SealedFile(path, magic, key, purpose.encode())
        self._what = what
        self.is_stored = False

    def load(self, restored: Callable[[bytes], T]) -> T | None:
        """What `restored` makes of the content; None where there is no file, or none that can be read."""
        self._file.sweep()
        try:
            (content,) = self._file.load()
            found = restored(content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            extra = fields(path=str(self._file.path), error=str(error))
            log.warning("the figures of %s that were not reported yet are lost", self._what, extra=extra)
            return None
        self.is_stored = True
        return found

    def store(self, content: bytes) -> bool:
        """Whether it is on disk now."""
        try:
            self._file.store(self._file.encode([content]))
        except OSError as error:
            self.is_stored = False
            log.error("a file of krane cannot be stored", extra=fields(path=str(self._file.path), error=str(error)))
            return False
        self.is_stored = True
        return True


class Batches(Generic[Item]):
    """Reports counts to the api in batches of MAX_BATCH.

    Args:
        send: sends one batch. Raises grpc.aio.AioRpcError.
        what: is counted, for the log.
    """

    def __init__(self, send: Callable[[Sequence[Item]], Awaitable[object]], what: str) -> None:
        self._send = send
        self._what = what
        self._is_told = False

    async def report(self, due: Sequence[Item], taken: Callable[[Sequence[Item]], None]) -> None:
        """Reports what is due, until the api does not take it: it stays due.

        `taken` is called with each batch that need not be reported again.
        """
        for first in range(0, len(due), MAX_BATCH):
            batch = due[first : first + MAX_BATCH]
            try:
                await self._send(batch)
                self._is_told = False
            except grpc.aio.AioRpcError as error:
                extra = fields(grpc_status=error.code().name, error=error.details())
                if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                    if not self._is_told:  # an older api does not know the call, for as long as it runs
                        log.info("the api did not take figures of %s; trying again", self._what, extra=extra)
                    self._is_told = True
                    return
                # it would refuse them for ever
                log.error("the api refuses figures of %s; they are given up", self._what, extra=extra)
            taken(batch)
