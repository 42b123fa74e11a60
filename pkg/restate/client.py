"""A client of Restate's ingress and admin API over unix sockets or TCP.

The SDK's own client quotes no keys, knows neither attach nor output, and sends a delay that the server refuses.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
from google.protobuf.message import Message
from yarl import URL

from pkg.errors import Internal, SealiftError, Unavailable
from pkg.restate.handler import Handler, Q, R

CONTENT_TYPE = "application/protobuf"
TIMEOUT_S = 10.0
REGISTER_TIMEOUT_S = 30.0
SQL_RETRY_S = 3.0  # after a restart the API is up some seconds before its query engine is
_RUNNING = 470
_SOURCE = "x-restate-error-source"
_MAX_ERROR_CHARS = 500
# A scheduled invocation has not started: it has no steps yet.
_HALF_DONE = "SELECT target FROM sys_invocation WHERE status NOT IN ('completed', 'scheduled') LIMIT 100"

T = TypeVar("T")


@dataclass(frozen=True)
class Sent:
    """A call that Restate has accepted. `is_new` False: it knew this one (same workflow key or idempotency key)."""

    invocation_id: str
    is_new: bool


class WorkflowStatus(StrEnum):
    """How far a workflow is. UNKNOWN: never started, or past its retention."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class RestateClient:
    """One client per process; connects lazily, on the running loop.

    Args:
        ingress: "unix:///path/ingress.sock" or "http://host:port".
        admin: the same for the admin API.
    """

    def __init__(self, ingress: str, admin: str) -> None:
        self._ingress = _Api("ingress", ingress)
        self._admin = _Api("admin", admin)

    async def send(
        self,
        handler: Handler[Q, Any],
        key: str,
        message: Q | None,
        *,
        idempotency_key: str | None = None,
        delay_ms: int | None = None,
        traceparent: str = "",
    ) -> Sent:
        """Calls a handler and returns once Restate has stored the call; does not wait for its result.

        Idempotent for a workflow's main handler, and for others with an `idempotency_key`. None sends no body.

        Raises:
            Unavailable: `restate.unavailable`: away, or no worker has registered the handler yet.
            Internal: `restate.refused`: it will never take this request.
        """
        path = f"/{handler.service}/{quote(key, safe='')}/{handler.name}/send"
        if delay_ms is not None:
            path += f"?delay={delay_ms}ms"
        headers = {}
        if idempotency_key is not None:
            headers["idempotency-key"] = idempotency_key
        if traceparent:
            headers["traceparent"] = traceparent
        answer = await self._ingress.ask("POST", path, message=message, headers=headers)
        answer.check(str(handler))
        return answer.read(_sent)

    async def workflow_status(self, run: Handler[Any, Any], key: str) -> WorkflowStatus:
        """How far the workflow's main handler is. Raises Unavailable while Restate is away."""
        answer = await self._ingress.ask("GET", f"/restate/workflow/{run.service}/{quote(key, safe='')}/output")
        if answer.status == _RUNNING:
            return WorkflowStatus.RUNNING
        if answer.status == 404 and answer.source != "invocation":
            return WorkflowStatus.UNKNOWN
        if answer.is_of_invocation:
            return WorkflowStatus.FAILED
        answer.check(str(run))
        return WorkflowStatus.COMPLETED

    async def attach_workflow(self, run: Handler[Any, R], key: str, *, timeout_s: float = TIMEOUT_S) -> R:
        """Waits for the end of the workflow's main handler and returns its result.

        Raises:
            Unavailable: `restate.unavailable`, also when it has not ended within `timeout_s`: attach again.
            Internal: `restate.workflow_failed`: it ended with an error.
        """
        path = f"/restate/workflow/{run.service}/{quote(key, safe='')}/attach"
        answer = await self._ingress.ask("GET", path, timeout_s=timeout_s)
        if answer.is_of_invocation:
            raise Internal("restate.workflow_failed", f"{run.service} {key} ended with an error: {answer.problem}")
        answer.check(str(run))
        return run.reply.FromString(answer.body)

    async def resolve_awakeable(self, awakeable_id: str, message: Message | None = None) -> None:
        """Completes an awakeable. Idempotent: the first one counts. Raises as `send`."""
        answer = await self._ingress.ask("POST", f"/restate/awakeables/{quote(awakeable_id)}/resolve", message=message)
        answer.check("awakeable")

    async def register(self, uri: str, force: bool = True) -> None:
        """Makes Restate ask the worker at `uri` for its handlers and send it all new invocations.

        With `force`, a known address is discovered again; without, nothing happens for it. Register only a worker that
        already answers.

        Raises:
            Unavailable: `restate.unavailable`: Restate, or the worker, does not answer.
            Internal: `restate.refused`.
        """
        answer = await self._admin.ask(
            "POST", "/deployments", body={"uri": uri, "force": force}, timeout_s=REGISTER_TIMEOUT_S
        )
        answer.check(f"the worker at {uri}")

    async def sql(self, query: str) -> list[dict[str, Any]]:
        """Rows of Restate's own tables (sys_invocation, sys_journal, state ...). Raises as `send`."""
        deadline = asyncio.get_running_loop().time() + SQL_RETRY_S
        while True:
            answer = await self._admin.ask("POST", "/query", body={"query": query})
            if answer.status < 500 or asyncio.get_running_loop().time() > deadline:
                answer.check("query")
                return answer.read(lambda body: list(body["rows"]))
            await asyncio.sleep(0.1)

    async def half_done(self) -> list[str]:
        """Invocations that have started and not ended, as "Service/key/handler"; at most 100. Raises as `send`."""
        return [str(row["target"]) for row in await self.sql(_HALF_DONE)]

    async def close(self) -> None:
        """Closes the connections. Idempotent."""
        await self._ingress.close()
        await self._admin.close()


def _sent(taken: Any) -> Sent:
    return Sent(invocation_id=str(taken["invocationId"]), is_new=taken["status"] == "Accepted")


@dataclass(frozen=True)
class _Answer:
    api: str
    status: int
    source: str
    body: bytes

    @property
    def is_of_invocation(self) -> bool:
        """The handler ended with this error; Restate itself works."""
        return self.status >= 400 and self.source == "invocation"

    @property
    def problem(self) -> str:
        """The server's own error message."""
        try:
            body = json.loads(self.body)
        except ValueError:
            body = self.body.decode("utf-8", "replace")
        text = str(body.get("message", body)) if isinstance(body, dict) else str(body)
        return text[:_MAX_ERROR_CHARS]

    def read(self, take: Callable[[Any], T]) -> T:
        """What `take` finds in the body's JSON. Raises Unavailable when it is not there."""
        try:
            return take(json.loads(self.body))
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(
                "restate.unavailable",
                f"Restate's {self.api} answered something that is not understood ({type(error).__name__}): "
                "is something else listening at its address?",
            ) from error

    def check(self, what: str) -> None:
        """Raises unless the request was accepted."""
        if self.status < 400:
            return
        raise self._error(f"Restate's {self.api} refused {what} with {self.status}: {self.problem}")

    def _error(self, message: str) -> SealiftError:
        # 404 and 405: the handler is not registered (yet); 408, 429 and 5xx pass
        if self.status in (404, 405, 408, 429) or self.status >= 500:
            return Unavailable("restate.unavailable", message)
        return Internal("restate.refused", message)


class _Api:
    """One of the two APIs."""

    def __init__(self, name: str, url: str) -> None:
        parts = urlsplit(url)
        self._name = name
        self._url = url
        self._socket = parts.path if parts.scheme == "unix" else None
        self._base = "http://localhost" if self._socket is not None else url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        method: str,
        path: str,
        *,
        message: Message | None = None,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> _Answer:
        sent = {"accept": "application/json", **(headers or {})}
        data = None
        content = b"" if message is None else message.SerializeToString(deterministic=True)
        if content:  # the server refuses a content type without content; no body is the empty message
            data, sent["content-type"] = content, CONTENT_TYPE
        elif body is not None:
            data, sent["content-type"] = json.dumps(body).encode(), "application/json"
        try:
            async with self._open().request(
                method,
                URL(self._base + path, encoded=True),
                data=data,
                headers=sent,
                skip_auto_headers=["Content-Type"],  # a handler without input refuses any
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                answer = await response.read()
                return _Answer(self._name, response.status, response.headers.get(_SOURCE, ""), answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = str(error) or f"no answer within {timeout_s:.0f} s"
            raise Unavailable(
                "restate.unavailable", f"Restate's {self._name} at {self._url} does not answer: {reason}"
            ) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.UnixConnector(self._socket) if self._socket else aiohttp.TCPConnector()
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session
