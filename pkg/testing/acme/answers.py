"""Where Pebble looks for answers to HTTP-01: an ingress in a few lines."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

PREFIX = "/.well-known/acme-challenge/"


@asynccontextmanager
async def answering(port: int, find: Callable[[str], str | None]) -> AsyncIterator[None]:
    """Answers each token with what `find` returns, 404 for None, until the block ends."""

    async def handle(request: web.Request) -> web.Response:
        found = find(request.path.removeprefix(PREFIX)) if request.path.startswith(PREFIX) else None
        return web.Response(status=404) if found is None else web.Response(text=found)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()
