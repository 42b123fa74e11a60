"""Which commands are under way, and the kranes that wait for them. In the memory of this process, see ADR 63."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator

from pkg.config.sections import Exec
from pkg.errors import NotFound, ResourceExhausted, Unavailable
from pkg.ids import new_id
from sealift.ctrl.v1 import exec_pb2 as pb
from svc.api.execs.channel import Channel, ClosedError
from svc.api.execs.session import ExecSession

CONNECT_WITHIN_S = 10.0
KEEPALIVE_S = 10.0
TASKS = 100  # that wait for one krane


class ExecBroker:
    """Hands commands of clients to kranes. `max_running` and the other bounds are of this process."""

    def __init__(self, bounds: Exec) -> None:
        self._bounds = bounds
        self._kranes: dict[str, list[Channel[pb.ExecTask]]] = {}
        self._sessions: dict[str, ExecSession] = {}

    @contextlib.asynccontextmanager
    async def session(self, start: pb.ExecStart, environment_id: str, instance_id: str) -> AsyncIterator[ExecSession]:
        """A place for one command until the block ends, which ends the command; krane is not told of it yet.

        Raises:
            ResourceExhausted: `exec.limit`, which names the bound.
            Unavailable: `exec.region_away`.
        """
        self._check(start.region, environment_id)
        self._newest(start.region)
        task = pb.ExecTask(exec_id=new_id("exec"), start=start, instance_id=instance_id)
        session = self._sessions[task.exec_id] = ExecSession(task, environment_id)
        watch = asyncio.create_task(self._watch(session), name="exec-bounds")
        try:
            yield session
        finally:
            watch.cancel()
            del self._sessions[task.exec_id]
            await session.close()

    async def offer(self, session: ExecSession) -> None:
        """Has krane begin. Raises Unavailable `exec.region_away`."""
        with contextlib.suppress(TimeoutError, ClosedError):
            async with asyncio.timeout(CONNECT_WITHIN_S):
                await self._newest(session.region).put(session.task)
                await session.is_connected.wait()
                return
        raise _away(session.region)

    def take(self, region: str, exec_id: str) -> ExecSession:
        """The command that krane connects to, once. Raises NotFound `exec.not_found`."""
        session = self._sessions.get(exec_id)
        if session is None or session.region != region or session.is_connected.is_set() or session.is_ended:
            raise NotFound("exec.not_found", f"Nobody waits for the command {exec_id[:64]!r} any more.")
        session.is_connected.set()
        return session

    async def tasks(self, region: str) -> AsyncGenerator[pb.ExecTask | None]:
        """For krane: every command as it is asked for; None at the begin, and every 10 s."""
        channel: Channel[pb.ExecTask] = Channel(TASKS)
        waiting = self._kranes.setdefault(region, [])
        waiting.append(channel)
        try:
            yield None
            while True:
                task = None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(KEEPALIVE_S):
                        task = await channel.get()
                yield task
        finally:
            waiting.remove(channel)
            await channel.close()

    def _check(self, region: str, environment_id: str) -> None:
        running = [one for one in self._sessions.values() if not one.is_ended]
        for key, whole, count in (
            ("max_per_environment", "environment", sum(one.environment_id == environment_id for one in running)),
            ("max_per_region", f"region {region!r}", sum(one.region == region for one in running)),
            ("max_running", "installation", len(running)),
        ):
            most = int(getattr(self._bounds, key))
            if count >= most:
                raise ResourceExhausted(
                    "exec.limit",
                    f"{count} commands run in this {whole}, and no more may at once: wait until one has ended, or ask"
                    f" the operator to raise [exec] {key} = {most} of the api.",
                    metadata={"bound": key},
                )

    def _newest(self, region: str) -> Channel[pb.ExecTask]:
        waiting = self._kranes.get(region)
        if not waiting:
            raise _away(region)
        return waiting[-1]

    async def _watch(self, session: ExecSession) -> None:
        bounds = self._bounds
        while True:
            now = time.monotonic()
            idle_s = session.active_at + bounds.idle_timeout_s - now
            whole_s = session.began_at + bounds.max_duration_s - now
            if whole_s <= 0:
                message = f"it ran for {bounds.max_duration_s} s, as long as [exec] max_duration_s of the api allows"
                await session.cut("exec.max_duration", message)
                return
            if idle_s <= 0:
                message = (
                    f"there was no input and no output for {bounds.idle_timeout_s} s, which is [exec] idle_timeout_s of"
                    " the api"
                )
                await session.cut("exec.idle", message)
                return
            await asyncio.sleep(min(idle_s, whole_s))


def _away(region: str) -> Unavailable:
    return Unavailable(
        "exec.region_away",
        f"krane of region {region!r} takes no commands now: it is away, or of an older version. `sealift status` shows"
        " whether the region reports; try again in a moment.",
    )
