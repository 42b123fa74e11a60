"""The port of object stores. Adapters: `disk` here; any S3 behind the same contract tests (`contract_test.py`)."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pkg.errors import InvalidArgument

MAX_PATH_CHARS = 512
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
SHA256_HEX = re.compile(r"[0-9a-f]{64}")


def check_path(path: str) -> str:
    """Returns `path`, which is then safe in a URL and as a file name without any quoting.

    Segments of letters, digits, ".", "_" and "-" that start with a letter or digit: so no "..", no empty segment, no
    leading slash, no hidden file.

    Raises:
        InvalidArgument: `object.path_invalid`.
    """
    if len(path) > MAX_PATH_CHARS or not all(_SEGMENT.fullmatch(s) for s in path.split("/")):
        raise InvalidArgument(
            "path",
            f"{path[:80]!r} is not an object path such as contexts/proj_x/ab12.tar.gz",
            code="object.path_invalid",
        )
    return path


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store knows about one object.

    Attributes:
        path: relative to the store.
        size_bytes: of the stored bytes.
        sha256: 64 hex digits, or None where the store did not verify one.
        etag: without quotes; of the content: the same content has the same, another one another.
        modified_at: epoch milliseconds; stable as long as the content is.
    """

    path: str
    size_bytes: int
    sha256: str | None
    etag: str
    modified_at: int


class ObjectStore(Protocol):
    """Objects by path. Every method refuses a path that `check_path` refuses."""

    def presign_put(self, path: str, *, size_bytes: int, sha256: str, ttl_s: int) -> str:
        """A URL that accepts, for `ttl_s` seconds, one PUT of exactly this many bytes with this sha256.

        Local and instant. A second PUT of the same content is accepted and changes nothing.
        """
        ...

    def presign_get(self, path: str, *, ttl_s: int) -> str:
        """A URL that answers GET for `ttl_s` seconds. HEAD may be refused (S3 does). Local and instant."""
        ...

    async def head(self, path: str) -> ObjectInfo | None:
        """None when there is no such object."""
        ...

    def open_read(self, path: str) -> AsyncIterator[bytes]:
        """The content in pieces of at most 1 MiB.

        Raises:
            NotFound: `object.not_found`, at the first piece.
        """
        ...

    async def fetch(self, path: str, to: Path) -> ObjectInfo:
        """Copies the content to a local file of mode 0600, which must not exist yet; no file is left on failure.

        Raises:
            NotFound: `object.not_found`.
        """
        ...

    async def delete(self, path: str) -> None:
        """Idempotent: an object that is not there is fine."""
        ...

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        """Objects below a folder such as "contexts/proj_x" ("" for all), ordered by path."""
        ...
