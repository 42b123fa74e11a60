"""What every call passes, by either transport: request id, authorisation, errors, log, metrics, trace."""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from google.protobuf.message import Message
from sqlalchemy.exc import SQLAlchemyError

from pkg.auth import check_scope
from pkg.errors import PermissionDenied, SealiftError, Unauthenticated, Unavailable
from pkg.ids import new_id
from pkg.observability.logging import bind, fields
from pkg.observability.metrics import Metrics
from pkg.observability.tracing import Tracing, is_traceparent
from svc.api.rpc.authorize import Authorizer
from svc.api.rpc.call import Call
from svc.api.rpc.clients import Clients
from svc.api.rpc.failure import Failure, failure_of
from svc.api.rpc.logged import logged_fields
from svc.api.rpc.methods import Method

REQUEST_ID = "x-request-id"
RECHECK_S = 30.0
_REQUEST_ID_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

log = logging.getLogger(__name__)


class RpcPipeline:
    """Everything around a servicer's method. `close` ends open streams and refuses new calls.

    A stream's key is checked again every `recheck_s`: a revoked key ends the stream.
    """

    def __init__(
        self,
        authorizer: Authorizer,
        metrics: Metrics,
        tracing: Tracing,
        clients: Clients,
        *,
        recheck_s: float = RECHECK_S,
    ) -> None:
        self._authorizer = authorizer
        self._clients = clients
        self._metrics = metrics
        self._tracing = tracing
        self._recheck_s = recheck_s
        self._closed = False
        # open streams, and why one is being ended from here
        self._streams: dict[asyncio.Task[object], SealiftError | None] = {}

    def close(self) -> None:
        """Ends open streams with UNAVAILABLE; unary calls continue, their transports wait for them. Idempotent."""
        self._closed = True
        for stream, why in self._streams.items():
            if why is None:
                self._streams[stream] = _stopping()
                stream.cancel()

    @contextlib.asynccontextmanager
    async def enter(
        self,
        method: Method,
        metadata: Mapping[str, str],
        receive: Callable[[], Awaitable[Message]],
        *,
        transport: str,
        peer: str,
    ) -> AsyncIterator[tuple[Call, Message]]:
        """The call, authorised, and its request. Raises Failure for what goes wrong; cancellation passes through.

        `metadata` has lower-case names. `peer` is the IP address at the other end of the connection. `receive` reads
        and parses the request, or raises InvalidArgument. It is awaited after the caller was authorised, so that the
        bytes of no other caller are read.
        """
        request_id = request_id_of(metadata)
        incoming = metadata.get("traceparent", "")
        incoming = incoming if is_traceparent(incoming) else ""
        began, code = time.monotonic(), "OK"
        client = self._clients.client(peer, metadata)
        about: dict[str, object] = {"method": method.path, "transport": transport, "client_address": client.address}
        with (
            bind(request_id=request_id),
            self._tracing.span(method.path.rpartition(".")[2], traceparent=incoming or None) as span,
        ):
            try:
                if self._closed:
                    raise _stopping()
                with self._clients.counted(client):
                    caller = await self._authorizer.authorize(method.path, method.access, metadata)
                    if caller is not None:
                        about["key_id"] = caller.key_id
                    request = await receive()
                    about |= logged_fields(request)
                    if caller is not None:
                        check_scope(method.access, request, caller)
                    traceparent = self._tracing.traceparent() or incoming
                    async with contextlib.nullcontext() if method.unary else self._stream(method, metadata):
                        yield Call(method.path, request_id, traceparent, caller, client), request
            except Exception as error:
                failure = error if isinstance(error, Failure) else failure_of(error, request_id)
                code = failure.error.grpc_status
                about |= {"code": failure.error.code, "reason": failure.error.message}
                if code == "INTERNAL":
                    span.fail(failure.error.code)
                raise failure from error
            except asyncio.CancelledError:
                code = "CANCELLED"
                raise
            finally:
                took_s = time.monotonic() - began
                self._metrics.rpc_ended(method.path, code, took_s)
                span.set(**{"rpc.status": code})
                level = logging.DEBUG if method.access.quiet and code == "OK" else logging.INFO
                log.log(level, "rpc", extra=fields(**about, grpc_status=code, duration_ms=round(took_s * 1000, 1)))

    @contextlib.asynccontextmanager
    async def _stream(self, method: Method, metadata: Mapping[str, str]) -> AsyncIterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._streams[task] = None
        guard = asyncio.create_task(self._guard(task, method, metadata), name="stream-guard")
        try:
            yield
        except asyncio.CancelledError:
            why = self._streams[task]
            if why is None:
                raise
            task.uncancel()
            raise why from None
        finally:
            guard.cancel()
            del self._streams[task]

    async def _guard(self, stream: asyncio.Task[object], method: Method, metadata: Mapping[str, str]) -> None:
        while True:
            await asyncio.sleep(self._recheck_s)
            try:
                await self._authorizer.authorize(method.path, method.access, metadata)
            except (Unauthenticated, PermissionDenied) as refusal:
                if self._streams.get(stream, refusal) is None:
                    self._streams[stream] = refusal
                    stream.cancel()
                return
            except SQLAlchemyError as error:
                log.warning("a stream's key could not be checked: %s", error)


def request_id_of(metadata: Mapping[str, str]) -> str:
    """The caller's x-request-id when it has a sound form, else a new one."""
    given = metadata.get(REQUEST_ID, "")
    return given if _REQUEST_ID_FORM.fullmatch(given) else new_id("req")


def _stopping() -> Unavailable:
    return Unavailable("server.stopping", "The server is stopping: try again in a moment.")
