"""`Connection`: how calls are made.

Each call has a deadline, is retried while the server is unavailable (only if a repeat is harmless), and raises the
typed errors of `errors`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sealift.client.channel import open_channel
from sealift.client.credentials import Endpoint
from sealift.client.errors import ClientError, connection_problem, from_rpc, is_from_elsewhere
from sealift.client.probe import probe
from sealift.client.proxy import proxy_for
from sealift.client.retry import FIRST_CONTACT, PATIENT, Retry
from sealift.client.tracing import NO_TRACING, Tracing

if TYPE_CHECKING:
    import grpc

CALL_TIMEOUT_S = 15.0
# Streams have a deadline and are resumed, so that a silently dead connection is noticed.
STREAM_TIMEOUT_S = 60.0

Item = TypeVar("Item")


class Connection:
    """One connection to a server. An async context manager; safe for concurrent calls on one event loop.

    Args:
        endpoint: URL and key.
        first: retry policy until the server has answered for the first time.
        retry: retry policy afterwards.
        tracing: where spans are sent.

    Raises:
        InputError: the endpoint's URL is not valid, or a variable names an unusable proxy.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        first: Retry = FIRST_CONTACT,
        retry: Retry = PATIENT,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self.endpoint = endpoint
        self.tracing = tracing
        self._first = first
        self._retry = retry
        self._has_answered = False
        self._proxy = proxy_for(endpoint.address)
        self._channel = open_channel(endpoint, self._proxy)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancel open calls and close the connection. Idempotent."""
        await self._channel.close()

    async def _call(self, method: Callable[..., Any], request: object, *, retry: Retry | None = None) -> Any:
        """One call: deadline, retries while the server is unavailable, typed errors."""
        import grpc

        policy = retry or (self._retry if self._has_answered else self._first)
        waits = policy.waits()
        while True:
            try:
                answer = await method(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata())
                self._has_answered = True
                return answer
            except grpc.aio.AioRpcError as error:
                is_hopeless = not self._has_answered and connection_problem(error, self.endpoint.address)
                may_help = error.code() is grpc.StatusCode.UNAVAILABLE and not is_hopeless
                wait = next(waits, None) if may_help else None
                if wait is None:
                    raise await self._error(error) from None
                await asyncio.sleep(wait)

    async def _newest(
        self, method: Callable[..., Any], request: Any, limit: int, items: Callable[[Any], Iterable[Item]]
    ) -> list[Item]:
        """The first `limit` items of as many pages as it takes."""
        found: list[Item] = []
        while True:
            page = await self._call(method, request)
            found += items(page)
            if not page.next_page_token or len(found) >= limit:
                return found[:limit]
            request.page_token = page.next_page_token

    async def _stream(self, method: Callable[..., Any], request: object) -> AsyncGenerator[Any, None]:
        """One stream until the server or its deadline ends it; typed errors. The call ends with the iteration."""
        import grpc

        call = method(request, timeout=STREAM_TIMEOUT_S, metadata=self._metadata())
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise await self._error(error) from None
        finally:
            call.cancel()

    async def _error(self, error: "grpc.aio.AioRpcError") -> ClientError:
        """The typed error; if the server has never answered, with what a look at its address shows."""
        server, problem = self.endpoint.address, None
        if not self._has_answered and is_from_elsewhere(error):
            problem = await asyncio.to_thread(probe, server, self._proxy, self.endpoint.ca_certificates)
        return from_rpc(error, server, str(self._proxy or ""), problem)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        pairs: list[tuple[str, str]] = []
        if self.endpoint.key:
            pairs.append(("authorization", f"Bearer {self.endpoint.key}"))
        if traceparent := self.tracing.traceparent():
            pairs.append(("traceparent", traceparent))
        return tuple(pairs)
