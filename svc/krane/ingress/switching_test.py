"""Promise 2: switching versions under load, zero failed requests."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from pkg.testing.wait import WAIT_S
from svc.krane.ingress.ingress import Timing
from svc.krane.ingress.port import Applied
from svc.krane.ingress.testing import Connection, IngressHarness, Upstream, running_ingress, until
from svc.krane.testing.routes import routes_to

HOST = "app.sealift.localhost"
LOAD_S = 2.5


@dataclass
class Load:
    """Clients that ask as fast as they get answers: half on kept connections, half on new ones."""

    port: int
    failures: list[str] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def heard(self, name: str) -> None:
        """Waits until an upstream answered."""
        await until(lambda: self.answers[name] > 0, f"{name} answers")

    async def client(self, keep: bool, method: str) -> None:
        connection = Connection(self.port)
        while not self.stop.is_set():
            try:
                reply = await asyncio.wait_for(connection.request(HOST, method=method), WAIT_S)
            except (OSError, EOFError, TimeoutError) as error:
                self._failed(f"{method}: {error!r}")
                connection.close()
                continue
            if reply.status == 200:
                self.answers[reply.body] += 1
            else:
                self._failed(f"{method}: {reply.status} {reply.body}")
            if not keep:
                connection.close()
            await asyncio.sleep(0.001)
        connection.close()

    def _failed(self, what: str) -> None:
        self.failures.append(what)
        self.failed_at.append(asyncio.get_running_loop().time())


async def switch(up: IngressHarness, version: int, old: Upstream | None) -> Upstream:
    """Version `version` takes over, the old one is drained, removed and killed."""
    new = await Upstream(f"v{version}").start()
    up.ingress.set_endpoints(f"dep_{version}", [new.endpoint()])
    up.ingress.set_routes(routes_to({HOST: f"dep_{version}"}), version)
    assert await up.ingress.wait_version(version, WAIT_S) == Applied(version, [])
    if old is not None:
        assert await up.ingress.wait_unlisted(f"dep_{version - 1}", WAIT_S)
        up.ingress.remove_deployment(f"dep_{version - 1}")
        await old.stop()
    return new


async def test_switching_under_load_fails_no_request(short_dir: Path) -> None:
    """Each old version is killed as soon as the ingress says that it is unlisted; no client notices."""
    async with running_ingress(short_dir, Timing(drain_s=0.2)) as up:
        current = await switch(up, 1, None)
        load = Load(up.port)
        clients = [
            asyncio.create_task(load.client(keep, method))
            for keep in (True, False)
            for method in ("GET", "POST", "GET")
        ]
        loop = asyncio.get_running_loop()
        end, version = loop.time() + LOAD_S, 1
        while loop.time() < end:
            await load.heard(current.name)
            version += 1
            current = await switch(up, version, current)
        await load.heard(current.name)
        load.stop.set()
        await asyncio.gather(*clients)
        await current.stop()
        assert load.failures == []
        assert version >= 5
        assert set(load.answers) == {f"v{n}" for n in range(1, version + 1)}


async def test_a_replica_may_go_under_load(short_dir: Path) -> None:
    """An instance that dies takes with it the requests that it had got; the other replica answers all others."""
    async with running_ingress(short_dir) as up:
        a, b = await Upstream("a").start(), await Upstream("b").start()
        up.ingress.set_endpoints("dep_1", [a.endpoint(), b.endpoint()])
        up.ingress.set_routes(routes_to({HOST: "dep_1"}), 1)
        await up.ingress.wait_version(1, WAIT_S)
        load = Load(up.port)
        methods = (True, "GET"), (True, "POST"), (False, "GET"), (False, "POST")
        clients = [asyncio.create_task(load.client(keep, method)) for keep, method in methods]
        await load.heard("a")
        gone = a.endpoint(healthy=False)
        await a.stop()
        at_once = asyncio.get_running_loop().time()
        before = load.answers["b"]
        await until(lambda: load.answers["b"] > before + 100, "b answers")  # until the next probe: retries carry it
        up.ingress.set_endpoints("dep_1", [gone, b.endpoint()])
        before = load.answers["b"]
        await until(lambda: load.answers["b"] > before + 100, "b answers")
        load.stop.set()
        await asyncio.gather(*clients)
        await b.stop()
        assert set(load.answers) == {"a", "b"}
        assert len(load.failures) <= len(clients)  # one each: what was under way to a
        assert all("502: the app" in failure for failure in load.failures), load.failures
        assert all(when < at_once + 0.2 for when in load.failed_at)
