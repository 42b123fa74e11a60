"""Reads the headers of a tar stream: ustar, GNU long names, pax.

Stricter than a tar program, because two readers of one archive must not see different things: whatever a builder might
understand in another way is refused. Holds one header and at most 3 MiB of extended headers (pax, long name, long
link target) at a time, and spends no more on one entry than its size is worth.
"""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from pkg.contexts.errors import ContextRejected

BLOCK = 512
MAX_EXTENDED_BYTES = 1 << 20
MAX_RECORDS = 1000  # of one pax header; real ones have a handful, and one for each extended attribute
MAX_GLOBAL_HEADERS = 100  # they are no entries, which are limited themselves; git archive writes one
MAX_SIZE_BYTES = 1 << 62


class Kind(Enum):
    """What an entry is."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"
    DEVICE = "device"
    FIFO = "named pipe"
    OTHER = "entry of an unknown type"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `target` is that of a link; `size_bytes` is what a file takes when unpacked."""

    name: str
    kind: Kind
    size_bytes: int = 0
    target: str = ""


class Source(Protocol):
    """Unpacked bytes."""

    def read(self, size: int, /) -> bytes:
        """Exactly `size` bytes unless the end comes first."""
        ...

    def skip(self, size: int, name: str, /) -> None:
        """Passes over the `size` bytes of the entry `name`.

        Raises:
            EOFError: the end comes first.
        """
        ...


_KINDS = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.AREGTYPE: Kind.FILE,
    tarfile.DIRTYPE: Kind.FOLDER,
    tarfile.SYMTYPE: Kind.SYMLINK,
    tarfile.LNKTYPE: Kind.HARDLINK,
    tarfile.CHRTYPE: Kind.DEVICE,
    tarfile.BLKTYPE: Kind.DEVICE,
    tarfile.FIFOTYPE: Kind.FIFO,
}
_PAX_OVERRIDES = ("path", "linkpath", "size")
_PAX_DATES = ("mtime", "atime", "ctime")
_DATE = re.compile(r"-?[0-9]{1,15}(\.[0-9]{0,30})?")


def damaged(what: str) -> ContextRejected:
    """The refusal of bytes that are no sound archive."""
    return ContextRejected("damaged", f"the archive is damaged: {what}. Pack and upload it again")


def entries(source: Source) -> Iterator[Entry]:
    """The entries in order; their content is passed over.

    Raises:
        ContextRejected: `context.damaged` or `context.unsupported`.
        EOFError: the stream ends inside an entry.
    """
    extended: dict[str, str] = {}
    has_pax, global_headers = False, 0
    while True:
        header = _header(source)
        if header is None:
            return
        kind = header.type
        if kind == tarfile.XHDTYPE:
            if has_pax:  # however many there were, all would have to be held
                raise _described_twice()
            has_pax = True
            _join(extended, _pax(_content(source, header)))
            continue
        if kind == tarfile.XGLTYPE:
            global_headers += 1
            if global_headers > MAX_GLOBAL_HEADERS:
                raise ContextRejected(
                    "unsupported", f"the archive has more than {MAX_GLOBAL_HEADERS} global headers. Pack it again"
                )
            # git archive writes one with a comment; one that renames every file is nothing that any packer makes
            if any(key in _PAX_OVERRIDES or key.startswith("GNU.") for key in _pax(_content(source, header))):
                raise ContextRejected(
                    "unsupported", "the archive has a global header that changes entries. Pack it again"
                )
            continue
        if kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            key = "path" if kind == tarfile.GNUTYPE_LONGNAME else "linkpath"
            long = _content(source, header).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
            _join(extended, {key: long})
            continue
        if kind == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in extended):
            raise ContextRejected(
                "unsupported", "the archive has a sparse file, which may unpack to any size. Pack it without --sparse"
            )
        yield _entry(source, header, extended)
        extended, has_pax = {}, False


def _entry(source: Source, header: tarfile.TarInfo, extended: dict[str, str]) -> Entry:
    size = header.size
    if "size" in extended:
        if not extended["size"].isdecimal() or len(extended["size"]) > 18:
            raise damaged("an entry's size is not a number")
        size = int(extended["size"])
    if not 0 <= size <= MAX_SIZE_BYTES:
        raise damaged("an entry's size is impossible")
    if any(not _DATE.fullmatch(extended.get(key, "0")) for key in _PAX_DATES):
        raise damaged("an entry's date is not a number")  # at which the builder would stop, with less to say
    name = extended.get("path", header.name)
    kind = _KINDS.get(header.type, Kind.OTHER)
    if kind is Kind.FILE and name.endswith("/"):
        kind = Kind.FOLDER  # as in archives older than the type of folders
    if kind is Kind.FILE:
        source.skip(_padded(size), name)
        return Entry(name, kind, size)
    if size and kind in (Kind.FOLDER, Kind.SYMLINK, Kind.HARDLINK):
        raise ContextRejected("unsupported", "the archive has a folder or link with content. Pack it again")
    return Entry(name, kind, 0, extended.get("linkpath", header.linkname))


def _header(source: Source) -> tarfile.TarInfo | None:
    block = source.read(BLOCK)
    if not block or block == bytes(BLOCK):
        return None
    if len(block) < BLOCK:
        raise EOFError
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as e:
        raise damaged(f"no tar header where one should be ({e})") from None


def _content(source: Source, header: tarfile.TarInfo) -> bytes:
    if not 0 <= header.size <= MAX_EXTENDED_BYTES:
        raise ContextRejected(
            "name_too_long", f"the archive has an extended header of {header.size} bytes. Shorten its names"
        )
    data = source.read(_padded(header.size))
    if len(data) < header.size:
        raise EOFError
    return data[: header.size]


def _pax(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at, records = 0, 0
    while at < len(data):
        records += 1
        if records > MAX_RECORDS:
            raise ContextRejected(
                "unsupported", f"an extended header has more than {MAX_RECORDS} records. Pack it without attributes"
            )
        space = data.find(b" ", at, at + 9)
        digits = data[at:space] if space > at else b""
        if not digits.isdigit():
            raise damaged("an extended header is malformed")
        end = at + int(digits)
        key, equals, value = data[space + 1 : end].partition(b"=")
        if end > len(data) or not equals or not value.endswith(b"\n"):
            raise damaged("an extended header is malformed")
        found[key.decode("utf-8", "surrogateescape")] = value[:-1].decode("utf-8", "surrogateescape")
        at = end
    return found


def _join(extended: dict[str, str], more: dict[str, str]) -> None:
    # which of two values counts is something that programs disagree on
    if extended.keys() & more.keys():
        raise _described_twice()
    extended |= more


def _described_twice() -> ContextRejected:
    return ContextRejected("unsupported", "the archive describes one entry twice. Pack it with another program")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
