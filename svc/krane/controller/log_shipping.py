"""Ships what instances print to the api: a follower for each, their lines in batches, fairly shared."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import grpc.aio

from pkg.desired.processes import split_workload
from pkg.observability.logging import fields
from pkg.output.redact import Redactor
from pkg.output.variables import secret_values
from sealift.ctrl.v1 import cluster_pb2
from sealift.ctrl.v1 import log_pb2 as pb
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.desired import DesiredState
from svc.krane.controller.log_follower import LogFollower, source_id
from svc.krane.controller.log_throttle import LogLimits
from svc.krane.runtime.port import InstanceStatus, Observation, Runtime

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 1 << 20
MAX_BATCH_BYTES = 256 << 10  # of one instance in a request, so that others get their turn
MAX_BATCHES = 500
PAUSE_S = 0.02  # between two requests: lines that come meanwhile share the next one
TICK_S = 1.0
RETRY_S = (0.2, 10.0)

Send = Callable[[pb.ReportLogsRequest], Awaitable[pb.ReportLogsResponse]]


class LogShipping:
    """Follows each instance that was seen, and reports what it prints. At most one request is under way.

    The api says where each log goes on, so that another krane, or one whose state is lost, continues it.

    Args:
        term: of this replica's leadership; while it is None nothing is followed.
    """

    def __init__(
        self,
        region: str,
        runtime: Runtime,
        desired: DesiredState,
        send: Send,
        limits: LogLimits,
        term: Callable[[], int | None] = lambda: 0,
    ) -> None:
        self._region = region
        self._runtime = runtime
        self._desired = desired
        self._send = send
        self._limits = limits
        self._term = term
        self._followers: dict[str, tuple[LogFollower, asyncio.Task[None]]] = {}
        self._has_work = asyncio.Event()
        self._turn = 0

    def seen(self, seen: Observation | None) -> None:
        """An instance was observed: its log is followed from now on, until it is gone."""
        if seen is None or seen.status is InstanceStatus.CREATED or self._term() is None:
            return
        if (known := self._followers.get(source_id(seen.uid))) is not None:
            known[0].notice(seen)
            return
        topology = self._desired.topology(seen.deployment_id)
        if topology is None:  # without its variables nothing of it can be redacted
            return
        self._follow(seen, topology, None)

    def job_seen(
        self, seen: Observation, of: cluster_pb2.Topology, observe: Callable[[], Awaitable[Observation | None]]
    ) -> None:
        """A job was observed, which is made from `of`: its log is followed from now on, until it is gone."""
        if seen.status is InstanceStatus.CREATED or self._term() is None:
            return
        if (known := self._followers.get(source_id(seen.uid))) is not None:
            known[0].notice(seen)
        else:
            self._follow(seen, of, observe)

    def is_shipped(self, uid: str) -> bool:
        """Whether all that is known of what has ended was reported; True for what nobody follows."""
        known = self._followers.get(source_id(uid))
        return known is None or known[0].is_shipped

    def _follow(
        self,
        seen: Observation,
        topology: cluster_pb2.Topology,
        observe: Callable[[], Awaitable[Observation | None]] | None,
    ) -> None:
        redactor = Redactor(secret_values(topology.variables, topology.plain_variables))
        follower = LogFollower(seen, self._runtime, redactor, self._limits, self._has_work.set, observe)
        task = asyncio.create_task(follower.run(), name=f"log of {seen.name}")
        task.add_done_callback(lambda _: self._has_work.set())
        self._followers[follower.source_id] = (follower, task)
        self._has_work.set()

    async def run(self) -> None:
        """Reports until cancelled; what was not reported is read again by the next krane."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._report_for_ever())
                group.create_task(self._tick_for_ever())
        finally:
            await self._end_all()

    async def _report_for_ever(self) -> None:
        backoff = Backoff(*RETRY_S)
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            request, taken = self._request()
            if not request.batches:
                continue
            try:
                heads = {head.source_id: head for head in (await self._send(request)).heads}
            except grpc.aio.AioRpcError as error:
                extra = fields(grpc_status=error.code().name, error=error.details())
                if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                    log.info("the api did not take lines of apps; trying again", extra=extra)
                    await asyncio.sleep(backoff.next_s())
                    self._has_work.set()
                    continue
                log.error("the api refuses lines of apps; they are given up", extra=extra)  # it would for ever
                heads = {}
            backoff.reset()
            for follower, count in taken:
                self._answered(follower, count, heads)
            await asyncio.sleep(PAUSE_S)
            self._has_work.set()

    def _answered(self, follower: LogFollower, count: int, heads: dict[str, pb.LogHead]) -> None:
        follower.reported(count)
        if follower.head is not None:
            return
        head = heads.get(follower.source_id)
        if head is not None:
            follower.begin(head)
        elif (known := self._followers.pop(follower.source_id, None)) is not None:
            known[1].cancel()  # of a deployment that the api does not know (any more)

    def _request(self) -> tuple[pb.ReportLogsRequest, list[tuple[LogFollower, int]]]:
        """What is due, and how many chunks of which follower it is."""
        request, taken, size = pb.ReportLogsRequest(region=self._region), [], 0
        followers = [follower for follower, _ in self._followers.values()]
        self._turn += 1
        first = self._turn % len(followers) if followers else 0
        for follower in followers[first:] + followers[:first]:
            if size >= MAX_REQUEST_BYTES or len(request.batches) >= MAX_BATCHES:
                break
            if follower.head is not None and not follower.has_work:
                continue
            chunks = follower.due(MAX_BATCH_BYTES) if follower.head is not None else []
            batch = request.batches.add(
                deployment_id=split_workload(follower.deployment_id)[0],
                instance_id=follower.instance_id,
                source_id=follower.source_id,
                resume=chunks[-1].resume if chunks else "",
            )
            for chunk in chunks:
                batch.lines.extend(chunk.lines)
                size += chunk.size
            taken.append((follower, len(chunks)))
        return request, taken

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._term() is None:
                await self._end_all()
            for source, (follower, task) in list(self._followers.items()):
                if not task.done():
                    follower.tick()
                elif not follower.has_work:
                    del self._followers[source]
                    if not task.cancelled() and (error := task.exception()) is not None:
                        extra = fields(instance_id=follower.instance_id)
                        log.error("the log of an instance is not followed any more", exc_info=error, extra=extra)

    async def _end_all(self) -> None:
        tasks = [task for _, task in self._followers.values()]
        self._followers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
