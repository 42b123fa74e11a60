"""What tells, without reading a file, that a tree is the one that was packed before. Pure.

As git does with its index: a file whose size, times and inode are what they were has the content that it had, because
whatever writes to it moves its times. That holds only if its times were over when it was looked at: a file that is
written twice within one tick of the file system's clock has the same times with two contents ("racily clean" in git's
words). `is_settled` says whether a scan is free of such files.
"""

import hashlib
import os

from sealift.client.archive import FORMAT
from sealift.client.context import Context
from sealift.client.tree import Entry, Stamp

# Longer than the coarsest clock of a file system (FAT: 2 s for times of writing).
SETTLED_AFTER_NS = 2_100_000_000


def fingerprint(context: Context) -> str:
    """A digest of all that decides the archive of a context: equal ones pack to the same content.

    Of directories and links only what the archive holds counts: files that are left out come and go beside the others.
    The dates in the archive count beside the stamps: they may have been raised (`dates`).
    """
    digest = hashlib.sha256(f"sealift context {FORMAT}\n".encode())
    for entry in context.entries:
        digest.update(_line(entry))
    return digest.hexdigest()


def is_settled(context: Context) -> bool:
    """Whether every file was last touched long enough before the scan that a later change must show."""
    return all(is_settled_at(entry.stamp, context.scanned_at_ns) for entry in context.entries if entry.stamp)


def is_settled_at(stamp: Stamp, looked_at_ns: int) -> bool:
    """Whether a file with this stamp, seen at that time, can't change later and keep it."""
    latest = looked_at_ns - SETTLED_AFTER_NS
    return stamp.mtime_ns < latest and stamp.ctime_ns < latest


def _line(entry: Entry) -> bytes:
    """One entry. Neither a path nor a target holds a NUL, so no two trees make the same lines."""
    stamp = tuple(entry.stamp or ())
    facts = f"{entry.kind.value} {entry.mode:o} {entry.size_bytes} {entry.mtime_s} {stamp}"
    return b"\0".join((facts.encode(), os.fsencode(entry.path), os.fsencode(entry.target), b"\n"))
