"""The dates of files from one deploy of a directory to the next: what changed is never older than before.

Tools like `make` compare the date of a file with that of what they made of it, which a cache mount keeps from build to
build; web servers compare it with the one that a browser has. Most ways to change a file date it by now. Some don't:
`cp -p`, `mv`, `tar -x`, `rsync -a` bring an old date along, a clock may be set back, and a file may be written while
the build of its last version is still under way. Then the new content would be taken for the old one.

So a record for each directory holds, of every file that was packed, its stamp, a digest of its content, and the date
that it had in the archive. The rule (`_Rule`), of a file with another content than then:

* it keeps its own date if that is later than the end of the deploy before, so later than all that was made of it;
* else it is dated by this scan, the second that follows it, and keeps that date until it changes again.

A file with the content that it had keeps its own date, or the one that it was given. So the same tree has the same
dates in each deploy. What is new in the directory keeps its own date. Without a record (another checkout, another
machine, a cache directory that was deleted) all files do.
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
_HEAD = struct.Struct("<q")  # when the deploy was over, epoch seconds; _NOT_FINISHED if that is not known
_ROW = struct.Struct("<16s16s16sqB")  # path, stamp and content as digests; date in the archive; flags
_IS_SETTLED, _IS_GIVEN = 1, 2
_NOT_FINISHED = (1 << 62) - 1
# 200,000 files, as many as a context may have.
MAX_RECORD_BYTES = len(_MAGIC) + _HEAD.size + 200_000 * _ROW.size + 128


class _PreviousFile(NamedTuple):
    """A file as it was in the deploy before.

    Attributes:
        stamp: a digest of its `Stamp` and size.
        content: a digest.
        mtime_s: in the archive.
        is_settled: whether a change since then must show in the stamp.
        is_given: whether the date is not the file's own.
    """

    stamp: bytes
    content: bytes
    mtime_s: int
    is_settled: bool
    is_given: bool


class ModificationTimes:
    """The dates of the files of one directory. Blocking.

    Args:
        env, home: where the record lies, see `CacheFiles`.
    """

    def __init__(self, env: Mapping[str, str] = os.environ, home: Path | None = None) -> None:
        self._records = CacheFiles("dates", MAX_RECORD_BYTES, env, home)

    def adjusted(self, context: Context) -> Context:
        """The context with the dates that its files have in the archive.

        Reads files whose content can't be told from their stamp, and whose own date does not decide.
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
        """Keeps what was packed, for the next deploy; False when it can't be.

        Args:
            context: from `adjusted`.
            digests: of the content of each file that was packed; of a file that is missing here, what is known stays.
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
            flags |= _IS_GIVEN if entry.mtime_s != clamped(entry.stamp.mtime_ns // 10**9) else 0
            rows.append(_ROW.pack(path, _stamp(entry), content, entry.mtime_s, flags))
        return self._records.write(b"".join(rows), os.fsencode(context.root))

    def mark_finished(self, root: Path) -> bool:
        """Keeps that the deploy remembered last is over: what is written from now on is later than all it made."""
        record = self._records.read(os.fsencode(root))
        if record is None or not record.startswith(_MAGIC):
            return False
        at = len(_MAGIC)
        changed = record[:at] + _HEAD.pack(int(time.time())) + record[at + _HEAD.size :]
        return self._records.write(changed, os.fsencode(root))

    def _load(self, root: Path) -> tuple[int, dict[bytes, _PreviousFile]]:
        """When the deploy before was over, and its files by the digest of their paths."""
        record = self._records.read(os.fsencode(root))
        begin = len(_MAGIC) + _HEAD.size
        if record is None or not record.startswith(_MAGIC) or (len(record) - begin) % _ROW.size:
            return _NOT_FINISHED, {}
        [finished_s] = _HEAD.unpack_from(record, len(_MAGIC))
        known = {
            path: _PreviousFile(stamp, content, mtime_s, bool(flags & _IS_SETTLED), bool(flags & _IS_GIVEN))
            for path, stamp, content, mtime_s, flags in _ROW.iter_unpack(record[begin:])
        }
        return finished_s, known


class _Rule:
    """The date of a file that was in the deploy before."""

    def __init__(self, context: Context, finished_s: int) -> None:
        self._root = context.root
        self._over_s = finished_s
        # the second that follows: what the last build made may be of this one
        self._now_s = context.scanned_at_ns // 10**9 + 1

    def mtime_s(self, entry: Entry, before: _PreviousFile) -> int:
        own = entry.mtime_s
        if before.stamp == _stamp(entry) and before.is_settled:
            return before.mtime_s
        if own > self._over_s and own > before.mtime_s:
            return own
        if self._digest(entry) == before.content:
            return max(own, before.mtime_s) if before.is_given else own
        return clamped(max(own, self._now_s, before.mtime_s + 1))

    def _digest(self, entry: Entry) -> bytes | None:
        try:
            descriptor = os.open(self._root / entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                return digest_of(file, entry.size_bytes)
        except OSError:  # packing tells
            return None


def _stamp(entry: Entry) -> bytes:
    return _digest(f"{tuple(entry.stamp or ())} {entry.size_bytes}".encode())


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
