"""The handlers as one ASGI app."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import restate
from restate import VirtualObject, Workflow

from svc.worker.parts import Parts
from svc.worker.workflows.build.service import service as build
from svc.worker.workflows.deploy.service import service as deploy
from svc.worker.workflows.routing.service import service as routing
from svc.worker.workflows.slot.service import service as slot
from svc.worker.workflows.switch.service import service as switch

Message = dict[str, Any]
log = logging.getLogger(__name__)

CANCEL_TIMES = 50
CANCEL_EVERY_S = 0.1

App = Callable[[Any, Any, Any], Awaitable[None]]


def services(parts: Parts) -> Sequence[Workflow | VirtualObject]:
    """Everything Restate may call."""
    return [deploy(parts), switch(parts), build(parts), routing(parts), slot(parts)]


def create_app(parts: Parts, identity_keys: Sequence[str]) -> App:
    """The app. Requests that none of `identity_keys` signed are refused, but for /health."""
    handlers = restate.app(list(services(parts)), identity_keys=list(identity_keys))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":  # the SDK refuses it, which the server would log as an error
            await _lifespan(receive, send)
        else:
            await _ending_with_its_connection(handlers(scope, receive, send))

    return app


async def _ending_with_its_connection(handling: Coroutine[Any, Any, None]) -> None:
    """Passes a cancellation on until the handler ends.

    The SDK swallows the first one and waits for the peer to hang up, so that a connection that broke on our side would
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
            log.debug("while its connection ended: %s", error)
        raise


async def _lifespan(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
