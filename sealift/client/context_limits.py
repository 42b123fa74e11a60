"""Checks a context against the server's fixed limits on unpacked archives, before it is packed.

A context of zeros packs to almost nothing, so the archive's size alone shows too late, or never, that it is too large.
"""

import errno
import os
import posixpath
from typing import NoReturn

from sealift.client.context import Context, path_list, printable_path, size_text
from sealift.client.errors import InputError
from sealift.client.tree import Entry

# The server's (`pkg.contexts.Limits`); a test compares.
MAX_ENTRIES = 200_000
MAX_UNPACKED_BYTES = 8 << 30
MAX_NAME_BYTES = 4096
MAX_NAME_PARTS = 255
# Holes of a sparse file. A tar contains them as zeros; the server refuses more than this as a decompression bomb.
MAX_HOLE_BYTES = 64 << 20

_BLOCK = 512
_EXCLUDE = "exclude what the build does not need with .dockerignore"


def check_limits(context: Context) -> None:
    """Refuse a context that the server would refuse after the upload. Reads no file content.

    Raises:
        InputError: `context.too_large`, `context.too_many_entries`, `context.name_too_long`, `context.sparse`.
    """
    count = len(context.entries)
    if count > MAX_ENTRIES:
        raise InputError(
            f"the build context has {count} files and directories, the limit is {MAX_ENTRIES}; {_EXCLUDE}. "
            f"Directories with the most: {path_list(_fullest(context))}",
            code="context.too_many_entries",
        )
    for entry in context.entries:
        if len(os.fsencode(entry.path)) > MAX_NAME_BYTES or entry.path.count("/") >= MAX_NAME_PARTS:
            raise InputError(
                f"the path {printable_path(entry.path[:200])}... is longer than {MAX_NAME_BYTES} bytes or deeper than "
                f"{MAX_NAME_PARTS} directories; shorten it, or exclude it with .dockerignore",
                code="context.name_too_long",
            )
    unpacked = sum(_BLOCK + -(-entry.size_bytes // _BLOCK) * _BLOCK for entry in context.entries)
    if unpacked > MAX_UNPACKED_BYTES:
        largest = path_list([f"{entry.path} ({size_text(entry.size_bytes)})" for entry in context.largest()])
        raise InputError(
            f"the build context has {size_text(unpacked)}, the limit is {size_text(MAX_UNPACKED_BYTES)}; "
            f"{_EXCLUDE}. The largest files: {largest}",
            code="context.too_large",
        )
    for entry in context.files:
        if entry.size_bytes > MAX_HOLE_BYTES:
            _check_holes(context, entry)


def _check_holes(context: Context, entry: Entry) -> None:
    """Refuse a sparse file. Fewer blocks than bytes can also mean a compressed file system, so the holes are read."""
    path, data, at = context.root / entry.path, 0, 0
    try:
        if path.lstat().st_blocks * _BLOCK > entry.size_bytes - MAX_HOLE_BYTES:
            return
        with path.open("rb") as file:
            while at < entry.size_bytes:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
                at = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
                data += at - begin
    except OSError as error:
        if error.errno != errno.ENXIO:  # ENXIO: only a hole follows
            return  # packing reports the error
    if entry.size_bytes - data > MAX_HOLE_BYTES:
        _refuse_sparse(entry, data)


def _refuse_sparse(entry: Entry, data: int) -> NoReturn:
    raise InputError(
        f"{printable_path(entry.path)} is a sparse file of {size_text(entry.size_bytes)} with {size_text(data)} of data"
        "; all of its size would be sent. Exclude it with .dockerignore, or create it in the Dockerfile "
        f"(RUN truncate -s {entry.size_bytes} {posixpath.basename(printable_path(entry.path))})",
        code="context.sparse",
    )


def _fullest(context: Context) -> list[str]:
    """The top-level directories by number of entries, most first."""
    counts: dict[str, int] = {}
    for entry in context.entries:
        top = entry.path.partition("/")[0]
        counts[top] = counts.get(top, 0) + 1
    return [f"{top} ({counts[top]})" for top in sorted(counts, key=lambda top: (-counts[top], top))]
