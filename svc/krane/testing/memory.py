"""A runtime for tests: instances are servers in this process, on loopback addresses of their own."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from pkg.errors import FailedPrecondition, Unavailable
from pkg.images import ImageRef, StoredImage
from svc.krane.runtime.contract import ENDED_AT_ONCE
from svc.krane.runtime.port import (
    CandidatePorts,
    DeploymentSpec,
    EventKind,
    InstanceEvent,
    InstanceRef,
    InstanceStatus,
    InstanceUsage,
    LogRecord,
    Observation,
    Output,
    PendingError,
    WantedReplicas,
    instance_name,
)

IMAGE_ID = "sha256:1"


@dataclass
class Server:
    """One instance: a server on an address of its own, until its app ends."""

    installation_id: str
    spec: DeploymentSpec
    seen: Observation
    listener: asyncio.Server | None = None
    output: list[str] = field(default_factory=list)
    records: list[LogRecord] = field(default_factory=list)
    printed: asyncio.Condition = field(default_factory=asyncio.Condition)
    cpu_ns: int = 0

    async def print(self, line: str) -> None:
        """Its app prints a line."""
        async with self.printed:
            self.output.append(line)
            self.records.append(LogRecord(time.time_ns(), False, line.encode()))
            self.printed.notify_all()


class Machine:
    """What outlives a `MemoryRuntime`, as an engine outlives krane."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.ending: set[str] = set()  # names of those that still serve, and are about to end
        self.followers: list[tuple[str, asyncio.Queue[InstanceEvent]]] = []
        self.load = 0  # how many instances an autoscaler would want
        self.no_metrics = ""
        self._numbers = itertools.count(1)

    async def create(self, installation_id: str, spec: DeploymentSpec, replica: int) -> Server:
        """Makes an instance and starts it."""
        number = next(self._numbers)
        name = instance_name(spec.deployment_id, replica)
        seen = Observation(
            name=name,
            uid=f"uid-{number}",
            deployment_id=spec.deployment_id,
            replica=replica,
            status=InstanceStatus.CREATED,
            revision=spec.revision,
            address=f"127.77.{number // 250}.{number % 250 + 1}",
            is_address_assigned=True,
            image_id=ImageRef.parse(spec.image_ref).digest,
            memory_mib=spec.memory_mib,
            restart_generation=spec.restart_generation,
        )
        server = self.servers[name] = Server(installation_id, spec, seen)
        await self.start(server)
        return server

    async def start(self, server: Server) -> None:
        """Starts its app."""
        started_at_ms = server.seen.started_at_ms + 1000
        server.seen = replace(server.seen, status=InstanceStatus.RUNNING, started_at_ms=started_at_ms)
        if (code := server.spec.variables.get(ENDED_AT_ONCE)) is not None:
            await server.print("as told")
            await self.end(server, int(code))
            return

        server.cpu_ns = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            server.cpu_ns += 10_000_000
            path = (await reader.readline()).split(b" ")[1:2]
            if path and path[0].startswith(b"/exit/"):
                writer.transport.abort()
                await self.end(server, int(path[0].rpartition(b"/")[2]))
                return
            if path and path[0].startswith(b"/print/"):
                await server.print(path[0].removeprefix(b"/print/").decode())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        server.listener = await asyncio.start_server(serve, server.seen.address, server.spec.port)
        self.tell(server, EventKind.CHANGED)

    async def end(self, server: Server, exit_code: int, *, is_by_hand: bool = False) -> None:
        """Its app ends; what is kept running is started again."""
        if server.listener is not None:
            server.listener.close()
            server.listener = None
        server.seen = replace(server.seen, status=InstanceStatus.EXITED, exit_code=exit_code)
        async with server.printed:
            server.printed.notify_all()
        self.tell(server, EventKind.ENDED, exit_code)
        if server.seen.is_kept_running and not is_by_hand:
            server.seen = replace(server.seen, restarts=server.seen.restarts + 1)
            await self.start(server)

    def close_port(self, name: str) -> None:
        """Nobody listens for an instance any more, and it counts as running."""
        listener = self.servers[name].listener
        assert listener is not None
        listener.close()

    async def remove(self, server: Server) -> None:
        """Nothing of it is left."""
        await self.end(server, 143, is_by_hand=True)
        self.servers.pop(server.seen.name, None)
        self.ending.discard(server.seen.name)
        self.tell(server, EventKind.CHANGED)

    def begin_end(self, server: Server) -> None:
        """Others than krane end it, as a drain of its node does: it serves until it is removed."""
        self.ending.add(server.seen.name)
        self.tell(server, EventKind.CHANGED)

    def scale(self, deployment_id: str, load: int) -> None:
        """The load is another one, and the autoscaler chooses another number."""
        self.load = load
        for _, queue in self.followers:
            queue.put_nowait(InstanceEvent(EventKind.CHANGED, deployment_id))

    def tell(self, server: Server, kind: EventKind, exit_code: int | None = None) -> None:
        """Tells who follows the installation."""
        event = InstanceEvent(kind, server.seen.deployment_id, server.seen.name, exit_code)
        for installation_id, queue in self.followers:
            if installation_id == server.installation_id:
                queue.put_nowait(event)


class MemoryRuntime:
    """See `Runtime`. Several kranes may share a machine."""

    def __init__(self, machine: Machine, installation_id: str, is_leader: Callable[[], bool] = lambda: True) -> None:
        self._is_leader = is_leader
        self._machine = machine
        self._installation_id = installation_id
        self._is_open = False

    async def open(self) -> str:
        """See `Runtime`."""
        self._is_open = True
        return "Memory 1"

    async def check(self) -> str:
        """See `Runtime`."""
        return ""

    async def close(self) -> None:
        """See `Runtime`."""
        self._is_open = False

    async def wanted_replicas(self, spec: DeploymentSpec) -> WantedReplicas:
        """See `Runtime`."""
        self._must_be_open()
        if spec.bounds is None or not spec.replicas:
            return WantedReplicas(spec.replicas)
        count = spec.bounds.clamp(self._machine.load)
        return WantedReplicas(count, self._machine.no_metrics, may_exceed=False)

    async def apply(
        self, spec: DeploymentSpec, replica: int, seen: Observation | None, *, is_live: bool, keep_running: bool = False
    ) -> Observation:
        """See `Runtime`. What was seen is not needed: everything is known here."""
        server = self._server(instance_name(spec.deployment_id, replica))
        if server is not None and server.seen.name in self._machine.ending:
            raise PendingError("", "the instance of before is ending")
        if not self._is_leader():
            if server is None:
                raise PendingError("", "the leading krane has not made it yet")
            return _as_seen(server)
        if server is not None and server.seen.revision != spec.revision:
            await self._machine.remove(server)
            server = None
        if server is None:
            if ImageRef.parse(spec.image_ref) != ImageRef.on_engine(IMAGE_ID):
                raise FailedPrecondition("instance.image_missing", f"image {spec.image_ref} is not in memory")
            server = await self._machine.create(self._installation_id, spec, replica)
        elif keep_running:
            server.seen = replace(server.seen, is_kept_running=True)
            if server.seen.status is InstanceStatus.EXITED:
                await self._machine.start(server)
        return _as_seen(server)

    async def delete(self, deployment_id: str, name: str, *, grace_s: int, is_replaced: bool = False) -> None:
        """See `Runtime`."""
        if self._is_leader() and (server := self._server(name)) is not None:
            await self._machine.remove(server)

    async def observe(self, deployment_id: str, replica: int) -> Observation | None:
        """See `Runtime`."""
        server = self._server(instance_name(deployment_id, replica))
        if server is None or server.seen.name in self._machine.ending:
            return None
        return _as_seen(server)

    async def list_instances(self, deployment_id: str | None = None) -> list[InstanceRef]:
        """See `Runtime`."""
        self._must_be_open()
        return [
            InstanceRef(one.seen.name, one.seen.deployment_id, one.seen.replica, one.seen.address)
            for one in self._machine.servers.values()
            if one.installation_id == self._installation_id and deployment_id in (None, one.seen.deployment_id)
        ]

    async def events(self) -> AsyncIterator[InstanceEvent]:
        """See `Runtime`."""
        follower = (self._installation_id, asyncio.Queue[InstanceEvent]())
        self._machine.followers.append(follower)
        try:
            while True:
                yield await follower[1].get()
        finally:
            self._machine.followers.remove(follower)

    async def output(self, name: str) -> Output:
        """See `Runtime`."""
        server = self._server(name)
        return Output() if server is None else Output("\n".join(server.output))

    async def logs(self, name: str, uid: str, since_s: int) -> AsyncGenerator[list[LogRecord]]:
        """See `Runtime`."""
        server = self._server(name)
        if server is None or server.seen.uid != uid:
            return
        at = 0
        while True:
            records = [one for one in server.records[at:] if one.at_ns >= since_s * 1_000_000_000]
            at = len(server.records)
            if records:
                yield records
            async with server.printed:
                if server.seen.status is not InstanceStatus.RUNNING and at == len(server.records):
                    return
                if at == len(server.records):
                    await server.printed.wait()

    async def usage(self) -> list[InstanceUsage]:
        """See `Runtime`. CPU grows by 10 ms for each request and each look; there is no disk."""
        self._must_be_open()
        measured = []
        for one in self._machine.servers.values():
            if one.installation_id == self._installation_id and one.seen.status is InstanceStatus.RUNNING:
                one.cpu_ns += 10_000_000
                name, uid, deployment_id = one.seen.name, one.seen.uid, one.seen.deployment_id
                measured.append(
                    InstanceUsage(
                        name, uid, deployment_id, 32 << 20, cpu_ns=one.cpu_ns, network_rx_bytes=0, network_tx_bytes=0
                    )
                )
        return measured

    async def candidate_ports(self, seen: Observation) -> CandidatePorts:
        """See `Runtime`."""
        return CandidatePorts()

    async def list_images(self) -> list[StoredImage]:
        """See `Runtime`."""
        return []

    async def delete_image(self, image: StoredImage) -> bool:
        """See `Runtime`."""
        return True

    async def collect_garbage(self) -> None:
        """See `Runtime`."""

    def _server(self, name: str) -> Server | None:
        self._must_be_open()
        server = self._machine.servers.get(name)
        return server if server is not None and server.installation_id == self._installation_id else None

    def _must_be_open(self) -> None:
        if not self._is_open:
            raise Unavailable("engine.unavailable", "the memory is not open")


def _as_seen(server: Server) -> Observation:
    is_running = server.seen.status is InstanceStatus.RUNNING
    return server.seen if is_running else replace(server.seen, address="")
