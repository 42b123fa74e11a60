"""The HTTP/2 server that Restate dials: hypercorn, in process."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config

from pkg.config.sections import split_address
from pkg.restate import hypercorn_patches
from pkg.restate.asgi import App

GRACE_S = 5.0  # for short steps to end; longer ones are repeated after the restart
_UNBOUNDED = 2**31 - 1  # one HTTP/2 connection of Restate carries every invocation
_BACKLOG = 128


def bind(address: str) -> socket.socket:
    """Binds host:port now, so that a used port fails the start. Port 0 takes a free one."""
    host, port = split_address(address)
    return socket.create_server((host, port), backlog=_BACKLOG)


async def serve(
    app: App, listener: socket.socket, until: Callable[[], Awaitable[object]], grace_s: float = GRACE_S
) -> None:
    """Serves `app` until `until()` returns; then handlers under way have `grace_s` before they are cut off."""
    hypercorn_patches.apply()
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]  # hypercorn owns it from now on
    config.graceful_timeout = grace_s
    config.h2_max_concurrent_streams = _UNBOUNDED
    config.keep_alive_max_requests = _UNBOUNDED
    config.keep_alive_timeout = _UNBOUNDED
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = None

    async def trigger() -> None:
        await until()
        asyncio.get_running_loop().set_exception_handler(_quiet_about_cut_connections)

    await hypercorn_serve(app, config, shutdown_trigger=trigger, mode="asgi")


def _quiet_about_cut_connections(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """During a stop, asyncio reports the cancellation of each connection's task as an error of its callback."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


async def answers(port: int, host: str = "127.0.0.1", timeout_s: float = 10.0) -> None:
    """Returns once the port takes connections. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return
