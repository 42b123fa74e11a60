"""Patches of hypercorn 0.18 for a server whose one connection carries everything: three faults, and a bound.

Hypercorn looks these classes up by name in its modules, so that they can be replaced without a copy of it.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import hypercorn.asyncio.run
import hypercorn.asyncio.tcp_server
import hypercorn.protocol
from h2.events import DataReceived, Event
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import AsyncioSingleTask
from hypercorn.protocol.h2 import H2Protocol


class _H2Protocol(H2Protocol):
    """Hypercorn's, but for one fault: data for a stream that we have closed ended the connection with a KeyError.

    One connection carries every invocation, so that every handler and every build under way was cut off with it.
    https://github.com/pgjones/hypercorn/pull/334 (open) is the same fix.
    """

    async def _handle_events(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, DataReceived) and event.stream_id not in self.streams:
                # still counted, or the connection's window would shrink until nothing fits through it
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                continue
            await super()._handle_events([event])


class _IdleTask(AsyncioSingleTask):
    """Hypercorn's, but restarting it while its connection goes down is no error that tears down the rest."""

    async def restart(self, task_group: Any, action: Callable[[], Coroutine[Any, Any, None]]) -> None:
        started: list[Coroutine[Any, Any, None]] = []

        def start() -> Coroutine[Any, Any, None]:
            started.append(action())
            return started[0]

        try:
            await super().restart(task_group, start)
        except RuntimeError:  # the connection's task group takes no more tasks
            for coroutine in started:
                coroutine.close()


# Restate opens one connection, and a few more under load; the rest is for health probes.
MAX_CONNECTIONS = 64
HTTP2_WITHIN_S = 10.0


class _TCPServer(TCPServer):
    """Hypercorn's, but an ended connection is freed, and connections are bounded before Restate has signed.

    A connection over MAX_CONNECTIONS is closed at once. One without HTTP/2 after HTTP2_WITHIN_S is closed:
    HTTP/1.1 is for probes, which send one request.
    """

    _open = 0

    async def run(self) -> None:
        if _TCPServer._open >= MAX_CONNECTIONS:
            self.writer.transport.abort()
            return
        _TCPServer._open += 1
        bound = self.loop.call_later(HTTP2_WITHIN_S, self._end_unless_http2)
        try:
            await super().run()
        finally:
            bound.cancel()
            _TCPServer._open -= 1

    async def _read_data(self) -> None:
        try:
            await super()._read_data()
        finally:
            # Else the connection's task waits for it as long as an idle connection may live: here, without limit.
            await self.idle_task.stop()

    def _end_unless_http2(self) -> None:
        if not isinstance(self.protocol.protocol, H2Protocol):
            self.writer.transport.abort()


def apply() -> None:
    """Replaces hypercorn's own classes in this process. Idempotent."""
    hypercorn.protocol.H2Protocol = _H2Protocol  # type: ignore[attr-defined]
    hypercorn.asyncio.tcp_server.AsyncioSingleTask = _IdleTask  # type: ignore[attr-defined]
    hypercorn.asyncio.run.TCPServer = _TCPServer  # type: ignore[attr-defined]
