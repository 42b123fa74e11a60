"""Promise: whatever is wrong with Envoy's admin interface is an OSError, and a restarted Envoy is found again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from svc.krane.ingress.admin import EnvoyAdmin


@asynccontextmanager
async def answering(socket: Path, status: int = 200) -> AsyncIterator[list[str]]:
    """An admin interface that answers each request with its parameter `filter`, and lists them."""
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(f"{request.method} {request.path}")
        return web.Response(status=status, text=request.query.get("filter", ""))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(socket)).start()
        yield seen
    finally:
        await runner.cleanup()
        socket.unlink(missing_ok=True)


async def test_an_envoy_that_was_restarted_is_found(short_dir: Path) -> None:
    """Promise: one object asks the Envoy of before and the next one, and says when there is none."""
    socket = short_dir / "admin.sock"
    async with EnvoyAdmin(socket, 5) as admin:
        for _ in range(2):
            with pytest.raises(OSError, match="admin"):
                await admin.get("/stats")
            async with answering(socket) as seen:
                assert await admin.get("/stats", {"filter": "^a$"}) == b"^a$"
                await admin.post("/healthcheck/fail")
            assert seen == ["GET /stats", "POST /healthcheck/fail"]


async def test_a_refusal_is_an_error(short_dir: Path) -> None:
    """Promise: an answer other than 2xx is not taken for what was asked for."""
    async with answering(short_dir / "admin.sock", status=503), EnvoyAdmin(short_dir / "admin.sock", 5) as admin:
        with pytest.raises(OSError, match="503"):
            await admin.get("/stats")
