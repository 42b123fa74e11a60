"""Detects without reading files that a tree is unchanged since it was packed. Pure.

Like git's index: a file with the same size, times and inode has the same content, because every write changes its
times. The exception is a file that is written twice within one tick of the file system's clock: it can have two
contents with the same times ("racily clean" in git). `is_settled` tells whether a scan is free of such files.
"""

import hashlib
import os

from sealift.client.archive import FORMAT
from sealift.client.context import Context
from sealift.client.tree import Entry, Stamp

# Longer than the coarsest file system clock (FAT: 2 s).
SETTLED_AFTER_NS = 2_100_000_000


def fingerprint(context: Context) -> str:
    """A digest of everything that determines a context's archive: equal digests give the same content.

    Directories and links count only as they are in the archive, because excluded files change a directory's stamp.
    Times in the archive count in addition to stamps, because they may have been adjusted (`mtimes`).
    """
    digest = hashlib.sha256(f"sealift context {FORMAT}\n".encode())
    for entry in context.entries:
        digest.update(_line(entry))
    return digest.hexdigest()


def is_settled(context: Context) -> bool:
    """Whether all files were written long enough before the scan for a later change to show."""
    return all(is_settled_at(entry.stamp, context.scanned_at_ns) for entry in context.entries if entry.stamp)


def is_settled_at(stamp: Stamp, seen_at_ns: int) -> bool:
    """Whether a file with this stamp at that time can't change later without changing the stamp."""
    latest = seen_at_ns - SETTLED_AFTER_NS
    return stamp.mtime_ns < latest and stamp.ctime_ns < latest


def _line(entry: Entry) -> bytes:
    """One entry. Paths and targets contain no NUL, so different trees give different lines."""
    stamp = tuple(entry.stamp or ())
    facts = f"{entry.kind.value} {entry.mode:o} {entry.size_bytes} {entry.mtime_s} {stamp}"
    content = () if entry.content is None else (hashlib.sha256(entry.content).digest(),)
    return b"\0".join((facts.encode(), os.fsencode(entry.path), os.fsencode(entry.target), *content, b"\n"))
