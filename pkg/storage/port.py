"""The port of object stores. Every adapter passes `contract.ObjectStoreContract`."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from pkg.errors import InvalidArgument
from pkg.storage.settings import StorageSettings

MAX_PATH_CHARS = 512
# For the web.AppRunner that serves `ObjectStore.routes`: an engine that has seen many contexts elsewhere still sends
# their ETags, in one header of 10 KiB or more, and would otherwise be refused.
RUNNER_LIMITS: Mapping[str, Any] = {"max_line_size": 1 << 20, "max_field_size": 1 << 20}
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


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store can do.

    Attributes:
        binds_uploads: a PUT URL takes the announced content and no other, however often it is used, so that a client
            may upload to the path that is read later. Where it doesn't, a client can replace what it has uploaded, as
            long as the URL lives: such an upload needs a path of its own, from which verified content is copied.
        checks_sha256: of a PUT with the headers of `PresignedPut`, the store compares the sha256 by itself.
    """

    binds_uploads: bool
    checks_sha256: bool


@dataclass(frozen=True, slots=True)
class PresignedPut:
    """Where and how to upload one content.

    Attributes:
        url: its query grants access: never log it.
        headers: that the client has to send beside Content-Length, which is exactly the announced size.
        served_path: path and query of `url` where the process itself serves `routes`: good under any address under
            which it is reached. "" for a store with its own endpoint.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    served_path: str = field(default="", repr=False)


class ObjectStore(Protocol):
    """Objects by path. Every method refuses a path that `check_path` refuses.

    Every method that asks the store raises Unavailable `object.unavailable` when it does not answer or refuses its
    client, with what is wrong and what the operator does about it.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this store can do; complete once `prepare` has returned."""
        ...

    async def prepare(self) -> None:
        """Makes what the store needs, such as its bucket, unless it is there; ends within 10 s. Idempotent."""
        ...

    def routes(self) -> Sequence[web.RouteDef]:
        """What the api serves over HTTP for this store; nothing for a store with its own endpoint."""
        ...

    async def check(self) -> None:
        """Whether objects can be read and written now; quick, and changes nothing.

        Raises:
            Unavailable: `object.unavailable`, with what is wrong and what the operator does about it.
        """
        ...

    async def close(self) -> None:
        """Releases what the store holds; calls under way finish first. Idempotent."""
        ...

    def presign_put(
        self, path: str, *, size_bytes: int, sha256: str, ttl_s: int, sends_headers: bool = False
    ) -> PresignedPut:
        """A URL that accepts, for `ttl_s` seconds, PUTs of exactly this many bytes; the client may be anywhere.

        Local and instant. Where the store `binds_uploads`, the content has this sha256, and a second PUT of it changes
        nothing.

        Args:
            path: of the object.
            size_bytes: of the content.
            sha256: of the content, 64 hex digits.
            ttl_s: 1 second to 7 days.
            sends_headers: the client sends `PresignedPut.headers`; older clients don't.
        """
        ...

    def presign_get(self, path: str, *, ttl_s: int, with_etag: bool = True) -> str:
        """A URL that answers GET for `ttl_s` seconds, for builders and the worker. Local and instant.

        HEAD may be refused (S3 does).

        Args:
            path: of the object.
            ttl_s: 1 second to 7 days.
            with_etag: whether the answer may carry an ETag.

        Raises:
            FailedPrecondition: `object.etag_unavoidable`: the store can't answer without one as it is configured.
        """
        ...

    async def put(self, path: str, pieces: AsyncIterator[bytes], *, size_bytes: int, sha256: str) -> ObjectInfo:
        """Stores what `pieces` yields if it is exactly this content, else nothing. The same again changes nothing.

        Raises:
            InvalidArgument: `object.size_mismatch` or `object.sha256_mismatch`.
            ResourceExhausted: `object.disk_full`.
        """
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
        """Idempotent: a missing object is no error."""
        ...

    async def list(self, prefix: str = "") -> list[ObjectInfo]:
        """Objects below a folder such as "contexts/proj_x" ("" for all), ordered by path."""
        ...


class StorageConfig(StorageSettings):
    """Base of the sections that configure a store: their keys, and how the store is opened."""

    def open(self, served_at: str = "") -> ObjectStore:
        """Opens the store without a request to it: `check` does that.

        Args:
            served_at: base URL under which this process serves `routes`; "" if it doesn't.

        Raises:
            ConfigError: `config.secret_file`.
        """
        raise NotImplementedError
