"""The containers of one installation and region: found, inspected, measured, removed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import docker.errors

from pkg.docker.calls import EngineCalls, said
from pkg.docker.frames import Frame
from pkg.docker.labels import LABEL_DEPLOYMENT
from pkg.docker.streams import EngineStreams
from pkg.errors import Unavailable
from svc.krane.runtime.docker import container_spec, inspected, sockets
from svc.krane.runtime.docker import usage as measured
from svc.krane.runtime.docker.disk import DiskUse
from svc.krane.runtime.docker.network import RegionNetwork
from svc.krane.runtime.port import InstanceStatus, InstanceUsage, LogRecord, Observation

P = ParamSpec("P")
T = TypeVar("T")

OUTPUT_LINES = 1000
_STDERR = 2
_CUT_BYTES = 16 << 10
STATS_AT_ONCE = 50  # the engine answers at its next look at the container, within about a second


@dataclass(frozen=True)
class _Facts:
    """What the engine said of a container that only this adapter needs."""

    pid: int
    exposed_ports: tuple[int, ...]


class Containers:
    """Only what carries both labels of `identity` is seen or touched."""

    def __init__(
        self, calls: EngineCalls, streams: EngineStreams, network: RegionNetwork, identity: container_spec.Identity
    ) -> None:
        self.identity = identity
        self._calls = calls
        self._streams = streams
        self._network = network
        self._facts: dict[str, _Facts] = {}

    @property
    def filters(self) -> dict[str, list[str]]:
        """For lists and events of the engine: all containers of this installation and region."""
        return _label_filter(self.identity.labels())

    def pid(self, uid: str) -> int:
        """Of a container's first process when it was inspected last, in the host's pid namespace; 0: none."""
        return self._facts[uid].pid if uid in self._facts else 0

    def exposed_ports(self, uid: str) -> tuple[int, ...]:
        """TCP ports that a container's image EXPOSEs."""
        return self._facts[uid].exposed_ports if uid in self._facts else ()

    async def inspect(self, name: str) -> Observation | None:
        """The container as it is now; None when it does not exist or is not ours. Raises Unavailable."""
        try:
            raw = await self.ask("inspect", name, self._calls.client.inspect_container, name)
        except docker.errors.NotFound:
            return None
        if not self.identity.owns(raw["Config"]["Labels"]):
            return None
        exposed = sockets.exposed(raw["Config"].get("ExposedPorts"))
        self._facts[raw["Id"]] = _Facts(raw["State"].get("Pid", 0), exposed)
        return inspected.observation(raw)

    async def must_inspect(self, name: str) -> Observation:
        """A container that was there a moment ago. Raises Unavailable also if it is gone."""
        seen = await self.inspect(name)
        if seen is None:
            raise Unavailable("engine.unavailable", f"container {name} vanished right after it was made; trying again")
        return seen

    async def find(self, deployment_id: str | None = None) -> list[dict[str, Any]]:
        """Every container that is an instance, of all deployments or of one, as the engine lists it."""
        wanted = dict(self.identity.labels())
        if deployment_id is not None:
            wanted[LABEL_DEPLOYMENT] = deployment_id
        known_before = set(self._facts)
        found = await self._list(wanted)
        if deployment_id is None:
            for uid in known_before - {raw["Id"] for raw in found}:
                self._facts.pop(uid, None)
        return self._instances(found)

    async def labels_of_all(self) -> list[Mapping[str, str]]:
        """Of every container of this installation and region, instances and others."""
        found = await self._list(self.identity.labels())
        return [raw["Labels"] for raw in found if self.identity.owns(raw["Labels"])]

    async def with_execs(self) -> list[tuple[str, int, bool]]:
        """Of every container that runs: its id, its first process, and whether commands run beside it."""

        async def facts(container_id: str) -> tuple[str, int, bool] | None:
            try:
                raw = await self.ask("inspect", container_id, self._calls.client.inspect_container, container_id)
            except docker.errors.NotFound:
                return None
            return container_id, int(raw["State"].get("Pid", 0)), bool(raw.get("ExecIDs"))

        running = [str(raw["Id"]) for raw in await self.find() if raw.get("State") == "running"]
        return [one for one in await asyncio.gather(*map(facts, running)) if one is not None]

    async def in_use(self) -> tuple[set[str], frozenset[str]]:
        """The names of the networks that containers were made on, and the deployments that have instances."""
        found = await self._list(self.identity.labels())
        deployments = frozenset(raw["Labels"][LABEL_DEPLOYMENT] for raw in self._instances(found))
        return {inspected.network_of(raw) for raw in found}, deployments

    async def disk_use(self) -> Sequence[DiskUse]:
        """Of every container that runs. The engine looks at each of their files: the more there are, the longer."""
        found = await self._streams.sizes(self.filters)
        return [
            DiskUse(
                name=raw["Names"][0].lstrip("/"),
                deployment_id=raw["Labels"][LABEL_DEPLOYMENT],
                uid=raw["Id"],
                used_bytes=raw.get("SizeRw", 0),
            )
            for raw in self._instances(found)
        ]

    async def usage(self) -> list[InstanceUsage]:
        """See `Runtime.usage`."""
        running = self._instances(await self._streams.running(self.filters))
        at_once = asyncio.Semaphore(STATS_AT_ONCE)

        async def measure(raw: dict[str, Any]) -> InstanceUsage | Unavailable | None:
            try:
                async with at_once:
                    stats = await self._streams.stats(raw["Id"])
            except Unavailable as error:  # of one that is being removed
                return error
            return None if stats is None else measured.usage(raw, stats)

        answers = await asyncio.gather(*map(measure, running))
        refused = [one for one in answers if isinstance(one, Unavailable)]
        if refused and len(refused) == len(running):
            raise refused[0]
        return [one for one in answers if isinstance(one, InstanceUsage)]

    async def output(self, name: str) -> str:
        """The last of what a container printed, the engine's init among it; "" when there is none."""
        return (await self._streams.logs(name, OUTPUT_LINES)).decode("utf-8", "backslashreplace")

    async def logs(self, uid: str, since_s: int) -> AsyncGenerator[list[LogRecord]]:
        """See `Runtime.logs`."""
        async with aclosing(self._streams.follow_logs(uid, since_s)) as chunks:
            async for frames in chunks:
                yield [_record(one) for one in frames]

    async def remove(self, name: str, grace_s: int) -> None:
        """See `Runtime.delete`."""
        seen = await self.inspect(name)
        if seen is None:
            return
        # By id: the name could meanwhile belong to another container.
        if seen.status in (InstanceStatus.RUNNING, InstanceStatus.RESTARTING):
            await self._streams.stop(seen.uid, grace_s)
        try:
            await self._calls.change(self._calls.client.remove_container, seen.uid, force=True, v=True)
        except docker.errors.NotFound:
            pass
        except docker.errors.APIError as error:
            if error.status_code != 409:  # 409: its removal is already under way
                raise self.away("remove", name, error) from error
            return
        self._network.gone(name)

    async def ask(self, action: str, name: str, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A question whose answer is the thing, or docker.errors.NotFound; any other refusal is Unavailable.

        An engine that is starting, busy or broken may answer 500: the call is repeated, as for one that is away.
        """
        try:
            return await self._calls.call(method, *args, **kwargs)
        except docker.errors.NotFound:
            raise
        except docker.errors.APIError as error:
            raise self.away(action, name, error) from error

    def away(self, action: str, name: str, error: docker.errors.APIError) -> Unavailable:
        """The error of a call that the engine refused and that is tried again."""
        return Unavailable("engine.unavailable", f"the engine could not {action} {name}: {said(error)}")

    async def _list(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        find: Any = self._calls.client.containers
        found: list[dict[str, Any]] = await self.ask(
            "list", "the instances", find, all=True, filters=_label_filter(labels)
        )
        return found

    def _instances(self, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            raw
            for raw in found
            if self.identity.owns(raw["Labels"]) and LABEL_DEPLOYMENT in raw["Labels"] and raw["Names"]
        ]


def _record(frame: Frame) -> LogRecord:
    # An engine cuts a line only where its buffer is full; the last line of an app may lack its newline.
    is_partial = len(frame.data) == _CUT_BYTES and not frame.data.endswith(b"\n")
    return LogRecord(frame.at_ns, frame.stream == _STDERR, frame.data.removesuffix(b"\n"), is_partial)


def _label_filter(labels: Mapping[str, str]) -> dict[str, list[str]]:
    return {"label": [f"{name}={value}" for name, value in labels.items()]}
