"""Wraps the SDK's ASGI app so that hypercorn can serve it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

Message = dict[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

CANCEL_TIMES = 50
CANCEL_EVERY_S = 0.1

log = logging.getLogger(__name__)


def served_by_hypercorn(handlers: Callable[[Any, Any, Any], Coroutine[Any, Any, None]]) -> App:
    """`handlers` (of restate.app) that answer the server's lifespan events and end with their connection."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":  # the SDK refuses it, which the server would log as an error
            await _lifespan(receive, send)
        else:
            await _ending_with_its_connection(handlers(scope, receive, send))

    return app


async def _ending_with_its_connection(handling: Coroutine[Any, Any, None]) -> None:
    """Passes a cancellation on until the handler ends.

    The SDK swallows the first one and waits for the peer to close, so that a connection that broke on our side would
    stay open, and Restate would wait for its invocations until their abort timeout.
    """
    work = asyncio.create_task(handling)
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        for _ in range(CANCEL_TIMES):
            work.cancel()
            await asyncio.wait({work}, timeout=CANCEL_EVERY_S)
            if work.done():
                break
        if work.done() and not work.cancelled() and (error := work.exception()) is not None:
            log.debug("error while the connection ended: %s", error)
        raise


async def _lifespan(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
