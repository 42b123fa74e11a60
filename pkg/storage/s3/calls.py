"""Calls of boto3 for callers on the event loop: in bounded threads, in a span each, with our errors."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from pkg.errors import Unavailable
from pkg.lifecycle.threads import close_in_thread
from pkg.observability import tracing
from pkg.storage.s3.client import ATTEMPTS, CONNECT_TIMEOUT_S, READ_TIMEOUT_S, THREADS, make_client
from pkg.storage.s3.failures import S3_ERRORS, UNREADABLE, UnreadableAnswerError, explain, too_slow
from pkg.storage.s3.settings import S3Settings

CHUNK_BYTES = 1 << 20
PIECE_TIMEOUT_S = 60.0
# A server that sends a byte now and then meets no timeout of boto3, which has one for each read.
CALL_TIMEOUT_S = ATTEMPTS * (CONNECT_TIMEOUT_S + READ_TIMEOUT_S) + 20.0
MAX_UNDER_WAY = 32 * THREADS  # in threads and waiting for one; beyond it, callers are sent away

_OF_OBJECTS = frozenset({"get_object", "head_object"})
T = TypeVar("T")


class Calls:
    """The bucket of `config`, call by call.

    Attributes:
        client: of boto3; another one may take its place.
    """

    def __init__(self, config: S3Settings) -> None:
        """Makes no request."""
        self._config = config
        self.client = make_client(config, config.url, config.region)
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        self._places = threading.BoundedSemaphore(MAX_UNDER_WAY)

    async def close(self) -> None:
        """Ends the threads; calls under way finish first. Idempotent."""
        await close_in_thread(lambda: self._executor.shutdown(wait=True, cancel_futures=True))
        await close_in_thread(self.client.close)

    async def call(
        self,
        operation: str,
        path: str = "",
        *,
        client: Any = None,
        timeout_s: float = CALL_TIMEOUT_S,
        **parameters: Any,
    ) -> dict[str, Any]:
        """One request.

        Args:
            operation: of boto3's client, e.g. "get_object".
            path: of the object that it is about; "" for none.
            client: with other limits than the usual ones.
            timeout_s: for all attempts, however they make progress.
            parameters: beside the bucket and the key.

        Raises:
            NotFound: `object.not_found`.
            ResourceExhausted: `object.disk_full`.
            Unavailable: `object.unavailable`.
        """
        given = {"Bucket": self._config.bucket, **({"Key": path} if path else {}), **parameters}
        function = getattr(client or self.client, operation)
        attributes = {"object_path": path} if path else {}
        with tracing.current().span(f"s3.{operation}", bucket=self._config.bucket, **attributes):
            answer: dict[str, Any] = await self.run(path, lambda: _readable(function, given), timeout_s=timeout_s)
        if operation in _OF_OBJECTS and not {"ContentLength", "LastModified"} <= answer.keys():
            if "Body" in answer:
                self._executor.submit(answer["Body"].close)
            raise explain(UnreadableAnswerError(), self._config, path)
        return answer

    async def run(self, path: str, function: Callable[[], T], *, timeout_s: float = CALL_TIMEOUT_S) -> T:
        """Blocking work with boto3, in a thread; raises as `call` does. A caller that is cancelled does not end it."""
        if not self._places.acquire(blocking=False):
            raise Unavailable(
                "object.unavailable",
                f"{MAX_UNDER_WAY} requests to the S3 server at {self._config.url} are under way: try again later",
            )
        work = self._executor.submit(function)
        work.add_done_callback(self._give_back)
        bound = asyncio.timeout(timeout_s)
        try:
            async with bound:
                return await asyncio.wrap_future(work)
        except S3_ERRORS as error:
            raise explain(error, self._config, path) from error
        except TimeoutError:
            if not bound.expired():
                raise
            raise too_slow(self._config, timeout_s) from None

    def _give_back(self, _work: Future[Any]) -> None:
        self._places.release()

    @asynccontextmanager
    async def download(
        self, path: str, **parameters: Any
    ) -> AsyncGenerator[tuple[dict[str, Any], AsyncIterator[bytes]], None]:
        """The answer's fields, and its body in pieces of at most 1 MiB; raises as `call` does."""
        answer = await self.call("get_object", path, **parameters)
        body = answer["Body"]
        try:
            yield answer, self._pieces(path, body)
        finally:
            # in a thread, since it waits for a read that is under way; not after `close`, which is the end of all
            with suppress(RuntimeError):
                self._executor.submit(body.close)

    async def _pieces(self, path: str, body: Any) -> AsyncIterator[bytes]:
        while piece := await self.run(path, lambda: body.read(CHUNK_BYTES), timeout_s=PIECE_TIMEOUT_S):
            yield piece


def _readable(function: Callable[..., dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
    try:
        return function(**given)
    except S3_ERRORS:
        raise
    except UNREADABLE as error:
        raise UnreadableAnswerError from error
