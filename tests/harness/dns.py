"""A DNS server on loopback that a stack asks; its records are set by the test."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from pkg.domains.testing import DnsServer, dns_server


@contextlib.contextmanager
def running_dns_server() -> Iterator[DnsServer]:
    """It answers from a thread of its own until the block ends."""
    started, stopping = threading.Event(), asyncio.Event()
    running: list[tuple[DnsServer, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with dns_server() as server:
            running.append((server, asyncio.get_running_loop()))
            started.set()
            await stopping.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10), "the DNS server starts"
    server, loop = running[0]
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)
