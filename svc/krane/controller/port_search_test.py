"""A search asks real ports; what it writes into the app's log stays little."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from svc.krane.controller import port_search
from svc.krane.controller.port_choice import explain
from svc.krane.controller.port_search import PortSearch
from svc.krane.controller.topology import HealthRule
from svc.krane.runtime.port import CandidatePorts, InstanceStatus, Observation

SEEN = Observation("i-1", "c-1", "dep_1", 0, InstanceStatus.RUNNING, address="127.0.0.1")
RULE = HealthRule("", 1, False, False, interval_s=1.0, timeout_s=2.0, start_timeout_s=60.0)


class SlowApp:
    """Speaks HTTP/1.1 and takes its time for a page; everything else it refuses at once, as web servers do."""

    def __init__(self, page_s: float = 3600.0) -> None:
        self.page_s = page_s
        self.gets = 0
        self.noise: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.read(1024)
            if head.startswith(b"GET "):
                self.gets += 1
                try:
                    async with asyncio.timeout(self.page_s):
                        await reader.read()
                except TimeoutError:
                    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                return
            self.noise.append(head[:4])
            writer.write(b"HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\n")
            await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def searched(app: SlowApp) -> AsyncIterator[tuple[PortSearch, int]]:
    server = await asyncio.start_server(app.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    class Source:
        async def candidate_ports(self, _: Observation) -> CandidatePorts:
            return CandidatePorts(listening=(("0.0.0.0", port),))

    async with server:
        yield PortSearch(SEEN, RULE, Source()), port


async def test_a_slow_page_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: an app whose first page takes longer than one question goes live all the same."""
    monkeypatch.setattr(port_search, "ASK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(port_search, "ASK_INTERVAL_S", 0.0)
    async with searched(SlowApp(page_s=0.5)) as (search, port):
        for _ in range(2):
            view = await search.last_view(("a.test",))
    assert view is not None
    assert view.answers[port].is_healthy


async def test_other_protocols_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a slow app is not flooded with TLS and HTTP/2, which would push its own lines out of the log."""
    monkeypatch.setattr(port_search, "ASK_TIMEOUT_S", 0.5)
    monkeypatch.setattr(port_search, "ASK_INTERVAL_S", 0.0)
    monkeypatch.setattr(port_search, "LOOK_INTERVAL_S", 0.0)
    monkeypatch.setattr(port_search, "PATIENT_TIMEOUT_S", 0.5)
    app = SlowApp()
    async with searched(app) as (search, port):
        for _ in range(3):
            await search.look(("a.test", "localhost"))
        view = await search.last_view(("a.test",))
    assert view is not None
    assert f"port {port}, which takes connections but has answered no request yet" in explain(view)
    assert app.gets == 4
    assert len(app.noise) == 2, app.noise
