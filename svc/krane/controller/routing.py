"""Routes, certificates, challenges: handed to the ingress once all of a change is here, reported once acknowledged."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

import grpc.aio

from pkg.desired.route import Route, deployments_of
from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.desired import Change, DesiredState
from svc.krane.controller.write_behind import WriteBehind
from svc.krane.ingress.port import Applied, Certificate, Challenge, Ingress
from svc.krane.metrics import KraneMetrics

log = logging.getLogger(__name__)

APPLY_WAIT_S = 10.0
SAVE_WAIT_S = 2.0
MAX_STILL_SERVED = 5000  # of one report
QUIET_S = 0.5  # versions without a route change may wait for company before they are reported

Send = Callable[[pb.ReportAppliedRequest], Awaitable[object]]


class Routing:
    """Moves routes and reports.

    A version is reported once every route change up to it is served (or refused), and on disk with the endpoints: a
    krane that starts again while the api or the engine is away must not fall back behind what it promised.

    One of several replicas (`is_shared`) also reports which deployments its data plane still sends requests to although
    no route leads there any more: the leader waits with their instances.
    """

    def __init__(
        self,
        region: str,
        desired: DesiredState,
        ingress: Ingress,
        snapshot: WriteBehind,
        endpoints_saved: Callable[[float], Awaitable[bool]],
        send: Send,
        metrics: KraneMetrics,
        *,
        is_shared: bool = False,
    ) -> None:
        self._region = region
        self._desired = desired
        self._ingress = ingress
        self._snapshot = snapshot
        self._endpoints_saved = endpoints_saved
        self._send = send
        self._metrics = metrics
        self._is_shared = is_shared
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._served: tuple[dict[str, Route], dict[str, Certificate], dict[str, Challenge]] | None = None
        # The ingress wants versions that only grow; the feed's go back when the database was restored.
        self._table_version = 0
        self._has_moved = False
        self._version = 0
        self._generation = 0
        self._arrived = time.monotonic()
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._reported: bytes = b""
        self._applied: Applied | None = None

    def changed(self, change: Change, generation: int) -> None:
        """Hands a changed table to the ingress; `generation` is the change's save generation in the snapshot.

        Routes that were moved together arrive one by one; the table is handed over, and reported, once for all of them.
        """
        if change.deployments or change.snapshot:
            self._ingress.set_protocols(self._desired.protocols())
        self._has_moved = self._has_moved or change.ingress
        if not (change.head or change.snapshot):
            return
        self._version, self._generation = change.version, generation
        if self._has_moved:
            self._has_moved = False
            served = (self._desired.routes(), self._desired.certificates(), self._desired.challenges())
            if served != self._served:
                table, certificates, challenges = served
                self._watch_leaving(self._served[0] if self._served else {}, table)
                self._served = served
                self._table_version = max(change.version, self._table_version + 1)
                self._ingress.set_certificates(certificates, self._table_version)
                self._ingress.set_challenges(challenges, self._table_version)
                self._ingress.set_routes(table, self._table_version)
            self._arrived = time.monotonic()
            self._urgent.set()
        self._wake.set()

    def report_again(self) -> None:
        """The api counts this replica as one that has not caught up: what is applied is reported once more."""
        self._reported = b""
        self._urgent.set()
        self._wake.set()

    async def run(self) -> None:
        """Reports until cancelled. While the data plane is away it retries; later versions win."""
        try:
            await self._run()
        finally:
            for task in self._leaving.values():
                task.cancel()
            await asyncio.gather(*self._leaving.values(), return_exceptions=True)

    async def _run(self) -> None:
        backoff = Backoff(0.1, 5)
        while True:
            await self._next_change()
            version, table_version, epoch, generation = (
                self._version,
                self._table_version,
                self._desired.epoch,
                self._generation,
            )
            applied = await self._ingress.wait_version(table_version, APPLY_WAIT_S)
            if applied.version < table_version or len(self._leaving) > MAX_STILL_SERVED:
                log.warning("the data plane has not applied the routes yet", extra=fields(version=version))
                self._wake.set()
                await asyncio.sleep(backoff.next_s())
                continue
            is_saved = await self._snapshot.wait_saved(generation, SAVE_WAIT_S)
            if not (is_saved and await self._endpoints_saved(SAVE_WAIT_S)):
                log.warning("reporting routes that are not on disk yet", extra=fields(version=version))
            try:
                await self._report(version, epoch, applied)
                self._applied = applied
                backoff.reset()
            except grpc.aio.AioRpcError as error:
                extra = fields(grpc_status=error.code().name, error=error.details(), version=version)
                log.warning("the api did not take the applied version; trying again", extra=extra)
                self._urgent.set()
                self._wake.set()
                await asyncio.sleep(backoff.next_s())

    def _watch_leaving(self, before: Mapping[str, Route], after: Mapping[str, Route]) -> None:
        if not self._is_shared:
            return
        for deployment_id in deployments_of(before) - deployments_of(after) - self._leaving.keys():
            task = asyncio.create_task(self._leave(deployment_id), name=f"leaving {deployment_id}")
            self._leaving[deployment_id] = task

    async def _leave(self, deployment_id: str) -> None:
        """Until the data plane sends it nothing any more, or a route leads there again."""
        while not self._desired.is_routed(deployment_id):
            if await self._ingress.wait_unlisted(deployment_id, APPLY_WAIT_S):
                break
        del self._leaving[deployment_id]
        self._urgent.set()
        self._wake.set()

    async def _next_change(self) -> None:
        """Waits for another version, or for what is refused to be served after all."""
        wake = asyncio.create_task(self._wake.wait())
        other = asyncio.create_task(self._until_other_nacks())
        try:
            await asyncio.wait({wake, other}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wake.cancel()
            other.cancel()
            await asyncio.gather(wake, other, return_exceptions=True)
        if not self._wake.is_set():
            return
        try:
            async with asyncio.timeout(QUIET_S):
                await self._urgent.wait()
        except TimeoutError:
            pass
        self._wake.clear()
        self._urgent.clear()

    async def _until_other_nacks(self) -> None:
        if self._applied is None or not self._applied.nacks:
            await asyncio.Event().wait()
            return
        while not await self._ingress.wait_nacks(self._applied.nacks, APPLY_WAIT_S):
            pass

    async def _report(self, version: int, epoch: str, applied: Applied) -> None:
        refused = {nack.hostname: nack.message for nack in applied.nacks} | self._desired.unsupported_routes()
        nacks = [
            pb.Nack(version=self._desired.route_version(hostname), hostname=hostname, message=message[:1024])
            for hostname, message in refused.items()
        ]
        request = pb.ReportAppliedRequest(
            region=self._region,
            epoch=epoch,
            version=version,
            nacks=nacks,
            unsupported_versions=self._desired.unsupported_versions(),
            still_served=sorted(one for one in self._leaving if not self._desired.is_routed(one)),
        )
        content = request.SerializeToString(deterministic=True)
        if content == self._reported:
            return
        await self._send(request)
        self._reported = content
        self._metrics.applied(version, time.monotonic() - self._arrived)
