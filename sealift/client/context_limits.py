"""What no server takes, told before it is packed: the server's fixed limits on what an archive unpacks to.

A context may be all zeros and pack to almost nothing, so the size of the archive alone says too late, or never, that it
is too large.
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
# Of a file's size that is not on the disk. A tar holds all of it: gigabytes of zeros, which the server refuses as a
# decompression bomb from this size on.
MAX_HOLE_BYTES = 64 << 20

_BLOCK = 512
_LEAVE_OUT = "leave out what the build does not need with .dockerignore"


def check_limits(context: Context) -> None:
    """Raises for a context that would be refused after it was packed and sent. Reads no content.

    Raises:
        InputError: `context.too_large`, `context.too_many_entries`, `context.name_too_long`, `context.sparse`.
    """
    count = len(context.entries)
    if count > MAX_ENTRIES:
        raise InputError(
            f"the build context has {count} files and directories, at most {MAX_ENTRIES} are accepted; {_LEAVE_OUT}. "
            f"Most are in: {path_list(_fullest(context))}",
            code="context.too_many_entries",
        )
    for entry in context.entries:
        if len(os.fsencode(entry.path)) > MAX_NAME_BYTES or entry.path.count("/") >= MAX_NAME_PARTS:
            raise InputError(
                f"the path {printable_path(entry.path[:200])}... is longer than {MAX_NAME_BYTES} bytes or deeper than "
                f"{MAX_NAME_PARTS} directories; move it up, or leave it out with .dockerignore",
                code="context.name_too_long",
            )
    unpacked = sum(_BLOCK + -(-entry.size_bytes // _BLOCK) * _BLOCK for entry in context.entries)
    if unpacked > MAX_UNPACKED_BYTES:
        largest = path_list([f"{entry.path} ({size_text(entry.size_bytes)})" for entry in context.largest()])
        raise InputError(
            f"the build context is {size_text(unpacked)}, at most {size_text(MAX_UNPACKED_BYTES)} are accepted; "
            f"{_LEAVE_OUT}. The largest: {largest}",
            code="context.too_large",
        )
    for entry in context.files:
        if entry.size_bytes > MAX_HOLE_BYTES:
            _refuse_holes(context, entry)


def _refuse_holes(context: Context, entry: Entry) -> None:
    """Raises for a sparse file. Fewer blocks than bytes may also be a compressed disk: the file itself is asked."""
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
        if error.errno != errno.ENXIO:  # which says that only a hole follows
            return  # packing will tell
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
    """The topmost directories with the most entries, most first."""
    counts: dict[str, int] = {}
    for entry in context.entries:
        top = entry.path.partition("/")[0]
        counts[top] = counts.get(top, 0) + 1
    return [f"{top} ({counts[top]})" for top in sorted(counts, key=lambda top: (-counts[top], top))]
