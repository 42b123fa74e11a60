"""The HTTP/2 server that Restate dials: hypercorn, in process."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

import hypercorn.protocol
from h2.events import DataReceived, Event
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from hypercorn.protocol.h2 import H2Protocol

from pkg.config.sections import split_address
from svc.worker.app import App

GRACE_S = 5.0  # for short steps to end; a longer one is repeated after the restart
_UNBOUNDED = 2**31 - 1  # one HTTP/2 connection of Restate carries every invocation
_BACKLOG = 128


class _H2Protocol(H2Protocol):
    """Hypercorn's, but for one fault: data for a stream that we have closed ended the connection with a KeyError.

    One connection carries every invocation, so that every handler and every build under way was cut off with it.
    https://github.com/pgjones/hypercorn/pull/334 (open) is the same mend.
    """

    async def _handle_events(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, DataReceived) and event.stream_id not in self.streams:
                # still counted, or the connection's window would shrink until nothing fits through it
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                continue
            await super()._handle_events([event])


hypercorn.protocol.H2Protocol = _H2Protocol  # type: ignore[attr-defined]


def bind(address: str) -> socket.socket:
    """Binds host:port now, so that a taken port fails the start. Port 0 takes a free one."""
    host, port = split_address(address)
    return socket.create_server((host, port), backlog=_BACKLOG)


async def serve(
    app: App, listener: socket.socket, until: Callable[[], Awaitable[object]], grace_s: float = GRACE_S
) -> None:
    """Serves `app` until `until()` returns; then handlers under way have `grace_s` before they are cut off."""
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

    await hypercorn_serve(app, config, shutdown_trigger=trigger, mode="asgi")


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
