"""Bounds how many requests of one client of the ingress are under way."""

from contextlib import ExitStack

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from pkg.errors import ResourceExhausted
from svc.api.http.connect import RPC_PREFIX, peer_of, refusal
from svc.api.rpc.clients import Clients


def bounded_by(clients: Clients) -> Middleware:
    """Answers 429 to a request beyond what a client may have under way, without waiting for its body."""

    @web.middleware
    async def bounded(request: web.Request, handler: Handler) -> web.StreamResponse:
        with ExitStack() as stack:
            try:
                stack.enter_context(clients.counted_request(clients.client(peer_of(request), request.headers)))
            except ResourceExhausted as error:
                return _refusal(request, error)
            return await handler(request)

    return bounded


def _refusal(request: web.Request, error: ResourceExhausted) -> web.Response:
    if request.path.startswith(RPC_PREFIX):
        response = refusal(request, error)
    else:
        response = web.Response(status=error.http_status, text=f"{error}\n", headers={"Cache-Control": "no-store"})
    response.headers["Retry-After"] = "1"
    return response
