"""Adjusts modification times between deploys of a directory, so that a changed file is never older than before.

`make` compares a file's time with that of its output, which a cache mount keeps between builds; web servers compare it
with the browser's. Most changes set the time to now. Some don't: `cp -p`, `mv`, `tar -x` and `rsync -a` keep an old
time, a clock may be set back, and a file may be written while its previous version is still being built. The new
content would then be mistaken for the old one.

Therefore a record for each directory contains the stamp, content digest and archive time of every packed file. The rule
(`_Rule`) for a file whose content has changed:

* it keeps its own time if that is later than the end of the previous deploy, hence later than all build outputs;
* else it gets the second after the start of this scan, and keeps that time until it changes again.

A file with unchanged content keeps its own time, or the one it was given, so the same tree has the same times in each
deploy. New files keep their own time. Without a record (another checkout, another machine, a deleted cache directory)
all files do.
"""

import os
import struct
import time
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from sealift.client.cache_files import CacheFiles
from sealift.client.context import Context
from sealift.client.digests import digest_of
from sealift.client.fingerprint import is_settled_at
from sealift.client.tree import Entry, clamped, with_directory_mtimes

_MAGIC = b"sealift dates 1\n"
_HEAD = struct.Struct("<q")  # end of the deploy, epoch seconds; _NOT_FINISHED if unknown
_ROW = struct.Struct("<16s16s16sqB")  # digests of path, stamp and content; time in the archive; flags
_IS_SETTLED, _IS_ADJUSTED = 1, 2
_NOT_FINISHED = (1 << 62) - 1
# 200,000 files, the limit of a context.
MAX_RECORD_BYTES = len(_MAGIC) + _HEAD.size + 200_000 * _ROW.size + 128


class _PreviousFile(NamedTuple):
    """A file in the previous deploy.

    Attributes:
        stamp: a digest of its `Stamp` and size.
        content: a digest.
        mtime_s: in the archive.
        is_settled: whether any later change must show in the stamp.
        is_adjusted: whether the time is not the file's own.
    """

    stamp: bytes
    content: bytes
    mtime_s: int
    is_settled: bool
    is_adjusted: bool


class ModificationTimes:
    """The modification times of a directory's files. Blocking.

    Args:
        env, home: location of the records, see `CacheFiles`.
    """

    def __init__(self, env: Mapping[str, str] = os.environ, home: Path | None = None) -> None:
        self._records = CacheFiles("dates", MAX_RECORD_BYTES, env, home)

    def adjusted(self, context: Context) -> Context:
        """The context with adjusted times.

        Reads files if neither stamp nor own time shows whether their content has changed.
        """
        finished_s, known = self._load(context.root)
        if not known:
            return context
        rule = _Rule(context, finished_s)
        entries = (
            replace(entry, mtime_s=rule.mtime_s(entry, before))
            if entry.stamp and (before := known.get(_digest(os.fsencode(entry.path))))
            else entry
            for entry in context.entries
        )
        return replace(context, entries=with_directory_mtimes(entries))

    def save(self, context: Context, digests: Mapping[str, bytes]) -> bool:
        """Save the record for the next deploy; False if it can't be written.

        Args:
            context: from `adjusted`.
            digests: path -> content digest of the packed files; for other files the known digest is kept.
        """
        _, known = self._load(context.root)
        rows = [_MAGIC, _HEAD.pack(_NOT_FINISHED)]
        for entry in context.files:
            path = _digest(os.fsencode(entry.path))
            before = known.get(path)
            content = digests.get(entry.path) or (before.content if before else None)
            if entry.stamp is None or content is None:
                continue
            flags = _IS_SETTLED if is_settled_at(entry.stamp, context.scanned_at_ns) else 0
            flags |= _IS_ADJUSTED if entry.mtime_s != clamped(entry.stamp.mtime_ns // 10**9) else 0
            rows.append(_ROW.pack(path, _stamp(entry), content, entry.mtime_s, flags))
        return self._records.write(b"".join(rows), os.fsencode(context.root))

    def mark_finished(self, root: Path) -> bool:
        """Record the end of the last saved deploy: later writes are newer than its outputs. False if impossible."""
        record = self._records.read(os.fsencode(root))
        if record is None or not record.startswith(_MAGIC):
            return False
        at = len(_MAGIC)
        changed = record[:at] + _HEAD.pack(int(time.time())) + record[at + _HEAD.size :]
        return self._records.write(changed, os.fsencode(root))

    def _load(self, root: Path) -> tuple[int, dict[bytes, _PreviousFile]]:
        """The end of the previous deploy, and its files by the digest of their paths."""
        record = self._records.read(os.fsencode(root))
        begin = len(_MAGIC) + _HEAD.size
        if record is None or not record.startswith(_MAGIC) or (len(record) - begin) % _ROW.size:
            return _NOT_FINISHED, {}
        [finished_s] = _HEAD.unpack_from(record, len(_MAGIC))
        known = {
            path: _PreviousFile(stamp, content, mtime_s, bool(flags & _IS_SETTLED), bool(flags & _IS_ADJUSTED))
            for path, stamp, content, mtime_s, flags in _ROW.iter_unpack(record[begin:])
        }
        return finished_s, known


class _Rule:
    """Computes the time of a file that was in the previous deploy."""

    def __init__(self, context: Context, finished_s: int) -> None:
        self._root = context.root
        self._over_s = finished_s
        # the next second: the last build may have written output in this one
        self._now_s = context.scanned_at_ns // 10**9 + 1

    def mtime_s(self, entry: Entry, before: _PreviousFile) -> int:
        own = entry.mtime_s
        if before.stamp == _stamp(entry) and before.is_settled:
            return before.mtime_s
        if own > self._over_s and own > before.mtime_s:
            return own
        if self._digest(entry) == before.content:
            return max(own, before.mtime_s) if before.is_adjusted else own
        return clamped(max(own, self._now_s, before.mtime_s + 1))

    def _digest(self, entry: Entry) -> bytes | None:
        try:
            descriptor = os.open(self._root / entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                return digest_of(file, entry.size_bytes)
        except OSError:  # packing reports the error
            return None


def _stamp(entry: Entry) -> bytes:
    return _digest(f"{tuple(entry.stamp or ())} {entry.size_bytes}".encode())


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
