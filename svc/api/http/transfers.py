"""Spans of uploads and downloads that belong to a trace."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from pkg.observability.tracing import Tracing, is_traceparent

OBJECTS_PREFIX = "/objects/"


def traced_transfers(tracing: Tracing) -> Middleware:
    """Puts a transfer with a traceparent into that trace; the others, and their signed URLs, are left alone."""

    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        incoming = request.headers.get("traceparent", "")
        if not (request.path.startswith(OBJECTS_PREFIX) and is_traceparent(incoming)):
            return await handler(request)
        path = request.path.removeprefix(OBJECTS_PREFIX)
        with tracing.span(f"store.{request.method.lower()}", traceparent=incoming, build_context_path=path) as span:
            response = await handler(request)
            span.set(**{"http.status": response.status})
            return response

    return trace
