"""The handlers as one ASGI app."""

from collections.abc import Awaitable, Callable, Sequence
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
            await handlers(scope, receive, send)

    return app


async def _lifespan(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
