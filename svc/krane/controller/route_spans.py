"""The part of a deploy's trace in which its first routes are applied."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pkg.desired.route import deployments_of
from pkg.observability.tracing import Tracing
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.desired import Change, DesiredState

Send = Callable[[pb.ReportAppliedRequest, str], Awaitable[object]]


@dataclass
class _Arrival:
    """Routes of one deployment that are not reported as applied yet; `traceparent` is of the span around them."""

    version: int
    traceparent: str
    error: str = ""
    applied: asyncio.Event = field(default_factory=asyncio.Event)


class RouteSpans:
    """A span for each deployment that gets its first routes: from their arrival until they are reported as applied.

    Later moves to it are no part of its deploy. Does nothing while tracing is off.
    """

    def __init__(self, tracing: Tracing, desired: DesiredState, send: Send) -> None:
        self._tracing = tracing
        self._desired = desired
        self._send = send
        self._routed: set[str] | None = None  # none before the first snapshot: what it holds has been applied long ago
        self._arrivals: dict[str, _Arrival] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def changed(self, change: Change) -> None:
        """A change came into force."""
        if not self._tracing.enabled or not change.routes:
            return
        if change.snapshot:  # versions may start over
            self._end(self._arrivals)
        before, self._routed = self._routed, set(deployments_of(self._desired.routes()))
        for deployment_id in self._routed - before if before is not None else ():
            topology = self._desired.topology(deployment_id)
            if topology is not None and topology.traceparent:
                self._begin(deployment_id, _Arrival(change.version, topology.traceparent))

    async def report(self, request: pb.ReportAppliedRequest) -> None:
        """Sends the report, as a part of the trace, and ends the spans that it covers. Raises what sending raises."""
        covered = {name: one for name, one in self._arrivals.items() if one.version <= request.version}
        await self._send(request, next((one.traceparent for one in covered.values()), ""))
        routes = self._desired.routes() if covered else {}
        for nack in request.nacks:
            for deployment_id in routes[nack.hostname].deployment_ids if nack.hostname in routes else ():
                if arrival := covered.get(deployment_id):
                    arrival.error = f"{nack.hostname}: {nack.message}"
        self._end(covered)

    async def close(self) -> None:
        """Ends every span."""
        self._end(self._arrivals)
        await asyncio.gather(*self._tasks)

    def _begin(self, deployment_id: str, arrival: _Arrival) -> None:
        self._arrivals[deployment_id] = arrival
        task = asyncio.create_task(self._trace(deployment_id, arrival), name="route-span")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, arrivals: dict[str, _Arrival]) -> None:
        for deployment_id, arrival in list(arrivals.items()):
            arrival.applied.set()
            if self._arrivals.get(deployment_id) is arrival:
                del self._arrivals[deployment_id]

    async def _trace(self, deployment_id: str, arrival: _Arrival) -> None:
        about = {"deployment_id": deployment_id, "version": arrival.version}
        with self._tracing.span("krane.apply_routes", traceparent=arrival.traceparent, **about) as span:
            arrival.traceparent = self._tracing.traceparent()
            await arrival.applied.wait()
            if arrival.error:
                span.fail(arrival.error)
