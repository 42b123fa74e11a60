"""Sends a build context from the object store to a daemon, through the build's session.

The daemon never learns the signed URL. So the URL is in none of its errors, and not in the provenance, which names
every URL that a build has read; and the daemon need not reach the object store.
"""

import hashlib
from collections.abc import AsyncIterator
from http import HTTPStatus

import aiohttp
from yarl import URL

from pkg.builders.port import SignContextUrl
from pkg.builds.failures import BuilderUnavailable, FailureKind

CHUNK_BYTES = 64 << 10
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0


class ContextStream:
    """The context of one build.

    Attributes:
        failure: why the last call of `open` failed, if it did.
    """

    def __init__(self, sign_context_url: SignContextUrl, sha256: str = "") -> None:
        """`sha256`: of the archive that was checked, in hex; "" takes any."""
        self._sign_context_url = sign_context_url
        self._sha256 = sha256
        self.failure: BuilderUnavailable | None = None

    async def open(self) -> AsyncIterator[bytes]:
        """The tar.gz in chunks, from a URL that is signed now.

        Raises:
            BuilderUnavailable: also when what has come is not what was checked; before the last chunk, so that no
                daemon takes it for the whole archive.
        """
        hashed, held = hashlib.sha256(), b""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S)
        try:
            # BuildKit does not see the answer's headers, so an ETag does no harm
            url = URL(self._sign_context_url(with_etag=True), encoded=True)
            async with (
                aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as http,
                http.get(url, allow_redirects=False) as answer,  # no store leads us to another server
            ):
                if answer.status != HTTPStatus.OK:
                    raise self._fail(_words(answer.status))
                async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                    hashed.update(chunk)
                    if held:
                        yield held
                    held = chunk
            if self._sha256 and hashed.hexdigest() != self._sha256:
                raise self._fail("the object store sent another content than the one that was checked")
            yield held
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # its text may have the URL in it
            raise self._fail(f"the object store can't be read ({type(error).__name__})") from None

    def _fail(self, why: str) -> BuilderUnavailable:
        self.failure = BuilderUnavailable(
            FailureKind.CONTEXT_UNAVAILABLE, f"the build context could not be fetched: {why}"
        )
        return self.failure


def _words(status: int) -> str:
    match status:
        case HTTPStatus.FORBIDDEN:
            return "the object store refused its signed URL (403): it has expired, or the clocks differ"
        case HTTPStatus.NOT_FOUND:
            return "the object store does not have it any more (404)"
        case _:
            return f"the object store answered with status {status}"
