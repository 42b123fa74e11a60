"""The rules for one build context, over its packed bytes. Blocking, no other I/O than `read` of its source."""

import gzip
import posixpath
import zlib
from dataclasses import dataclass
from typing import IO, NoReturn, Protocol, cast

from pkg.contexts.errors import ContextRejected, quoted
from pkg.contexts.tar import Entry, Kind, damaged, entries

_PIECE = 1 << 20
_SUGGESTIONS = 5


class Packed(Protocol):
    """Where the archive comes from."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What a context may be. The defaults are the product's.

    Attributes:
        entries: files, folders and links.
        unpacked_bytes: of the whole tar stream.
        ratio: unpacked to packed bytes, looked at once more than `ratio_free_bytes` have been unpacked.
        name_bytes: of an entry's whole path; of one part of it 255, as file systems have it.
        name_parts: how deep an entry may lie: each of its folders is looked at.
    """

    entries: int = 200_000
    unpacked_bytes: int = 8 << 30
    ratio: int = 200
    ratio_free_bytes: int = 64 << 20
    name_bytes: int = 4096
    name_parts: int = 255


@dataclass(frozen=True, slots=True)
class ContextReport:
    """What an accepted archive holds. The same content gives the same report: keep it by sha256 and Dockerfile path."""

    entries: int
    unpacked_bytes: int
    packed_bytes: int


def check_archive(packed: Packed, dockerfile_path: str, limits: Limits) -> ContextReport:
    """Reads the whole archive.

    Args:
        packed: the tar.gz.
        dockerfile_path: relative to the context.
        limits: see there.

    Raises:
        ContextRejected: with the entry at fault and the next step.
    """
    dockerfile = check_dockerfile_path(dockerfile_path)
    unpacked = _Unpacked(packed, limits)
    rules = _Rules(limits, dockerfile)
    try:
        for entry in entries(unpacked):
            rules.see(entry)
        unpacked.drain()
    except EOFError:
        raise damaged("it ends too early") from None
    except gzip.BadGzipFile as e:
        if unpacked.unpacked_bytes == 0 and "Not a gzipped file" in str(e):
            raise ContextRejected("not_gzip", "the archive is not gzip-compressed. Upload a .tar.gz") from None
        raise damaged(f"its compression is ({e})") from None
    except zlib.error as e:
        raise damaged(f"its compression is ({e})") from None
    rules.end()
    return ContextReport(rules.count, unpacked.unpacked_bytes, unpacked.packed_bytes)


def check_dockerfile_path(path: str) -> str:
    """The path in the form in which archive names are compared.

    Raises:
        ContextRejected: `context.dockerfile_outside`.
    """
    normal = posixpath.normpath(path)
    if not path or path.startswith("/") or normal == ".." or normal.startswith("../") or "\0" in path:
        raise ContextRejected(
            "dockerfile_outside",
            f"the Dockerfile {quoted(path)} is not inside the build context. Name one inside it, relative to its root",
        )
    return normal


class _Unpacked:
    """The unpacked bytes (`tar.Source`), counted and limited while they come."""

    def __init__(self, packed: Packed, limits: Limits) -> None:
        self._limits = limits
        self._gzip = gzip.GzipFile(fileobj=cast("IO[bytes]", _Counted(self, packed)), mode="rb")
        self.packed_bytes = 0
        self.unpacked_bytes = 0
        self._at = ""  # the entry whose content is being read, for refusals

    def read(self, size: int) -> bytes:
        parts = []
        while size > 0 and (part := self._gzip.read(min(size, _PIECE))):
            parts.append(part)
            size -= len(part)
            self._count(len(part))
        return b"".join(parts)

    def skip(self, size: int, name: str) -> None:
        self._at = name
        if self.unpacked_bytes + size > self._limits.unpacked_bytes:
            self._too_large()  # says so before reading gigabytes
        while size > 0:
            part = self._gzip.read(min(size, _PIECE))
            if not part:
                raise EOFError
            size -= len(part)
            self._count(len(part))

    def drain(self) -> None:
        """Reads what follows the last entry: padding; its checksum covers all that came before."""
        while part := self._gzip.read(_PIECE):
            self._count(len(part))

    def _count(self, size: int) -> None:
        limits = self._limits
        self.unpacked_bytes += size
        if self.unpacked_bytes > limits.unpacked_bytes:
            self._too_large()
        if self.unpacked_bytes > max(limits.ratio_free_bytes, limits.ratio * self.packed_bytes):
            raise ContextRejected(
                "ratio",
                f"the archive unpacks to more than {limits.ratio} times its size{self._where()}, which only a"
                " decompression bomb does. Leave files of repeated bytes out with .dockerignore",
            )

    def _too_large(self) -> NoReturn:
        raise ContextRejected(
            "too_large",
            f"the build context unpacks to more than {self._limits.unpacked_bytes >> 20} MiB{self._where()}. Leave what"
            " the build does not need out with .dockerignore",
        )

    def _where(self) -> str:
        return f" (at {quoted(self._at)})" if self._at else ""


class _Counted:
    def __init__(self, owner: _Unpacked, packed: Packed) -> None:
        self._owner = owner
        self._packed = packed

    def read(self, size: int) -> bytes:
        data = self._packed.read(size)
        self._owner.packed_bytes += len(data)
        return data


class _Rules:
    """What entries may be, one after another."""

    def __init__(self, limits: Limits, dockerfile: str) -> None:
        self._limits = limits
        self._dockerfile = dockerfile
        self._dockerfile_kind: Kind | None = None
        self._similar: list[str] = []
        self._links: set[str] = set()
        self._files = 0
        self.count = 0

    def see(self, entry: Entry) -> None:
        """One entry.

        Raises:
            ContextRejected: it is not allowed.
        """
        self.count += 1
        if self.count > self._limits.entries:
            raise ContextRejected(
                "too_many_entries",
                f"the build context has more than {self._limits.entries} files. Leave what the build does not need out"
                " with .dockerignore",
            )
        name = self._name(entry)
        if entry.kind in (Kind.DEVICE, Kind.FIFO, Kind.OTHER):
            raise ContextRejected(
                "special_file",
                f"the build context holds {quoted(entry.name)}, a {entry.kind.value}. Leave it out with .dockerignore",
            )
        parent = posixpath.dirname(name) if self._links else ""
        while parent:
            if parent in self._links:
                raise ContextRejected(
                    "through_link",
                    f"the entry {quoted(entry.name)} lies behind the symbolic link {quoted(parent)}. Pack the context"
                    " again",
                )
            parent = posixpath.dirname(parent)
        self._links.discard(name)
        if entry.kind is Kind.SYMLINK:
            _check_target(entry, posixpath.join(posixpath.dirname(name), entry.target))
            self._links.add(name)
        elif entry.kind is Kind.HARDLINK:
            _check_target(entry, entry.target)  # of hard links: relative to the root
        self._files += entry.kind is not Kind.FOLDER
        if name == self._dockerfile:
            self._dockerfile_kind = entry.kind
        elif "dockerfile" in posixpath.basename(name).lower() and len(self._similar) < _SUGGESTIONS:
            self._similar.append(name)

    def end(self) -> None:
        """After the last entry.

        Raises:
            ContextRejected: something is missing.
        """
        if not self._files:
            raise ContextRejected(
                "empty", "the build context has no files. Deploy a folder that has some, and look at its .dockerignore"
            )
        name = quoted(self._dockerfile)
        if self._dockerfile_kind is None:
            found = f" There is: {', '.join(map(quoted, self._similar))}." if self._similar else ""
            raise ContextRejected(
                "dockerfile_missing",
                f"there is no {name} in the build context.{found} Add it, or name another file with --dockerfile",
            )
        if self._dockerfile_kind is not Kind.FILE:
            raise ContextRejected(
                "dockerfile_not_a_file",
                f"{name} is a {self._dockerfile_kind.value}, not a file. Name the Dockerfile itself with --dockerfile",
            )

    def _name(self, entry: Entry) -> str:
        name = entry.name
        parts = name.split("/")
        raw = name.encode("utf-8", "surrogateescape")
        if len(raw) > self._limits.name_bytes or any(len(p.encode("utf-8", "surrogateescape")) > 255 for p in parts):
            raise ContextRejected(
                "name_too_long",
                f"the name {quoted(name)} is longer than a file system takes. Shorten it, or leave it out",
            )
        if len(parts) > self._limits.name_parts:
            raise ContextRejected(
                "name_too_long",
                f"the entry {quoted(name)} lies deeper than {self._limits.name_parts} folders. Move it up, or leave it"
                " out with .dockerignore",
            )
        if not name or name.startswith("/") or ".." in parts or "\0" in name:
            raise ContextRejected(
                "name_outside",
                f"the entry {quoted(name)} lies outside the build context. Pack it with names relative to the context",
            )
        return posixpath.normpath(name)


def _check_target(entry: Entry, path: str) -> None:
    normal = posixpath.normpath(path) if path else ""
    if not entry.target or "\0" in path or path.startswith("/") or normal == ".." or normal.startswith("../"):
        raise ContextRejected(
            "link_outside",
            f"the {entry.kind.value} {quoted(entry.name)} points to {quoted(entry.target)}, outside the build context."
            " Leave it out with .dockerignore, or copy what it points to into the context",
        )
