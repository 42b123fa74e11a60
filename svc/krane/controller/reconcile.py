"""One reconciler per deployment and process, and what requests their passes: the feed, events, a resync."""

import asyncio
import logging
from collections import Counter

from pkg.desired.processes import split_workload
from pkg.errors import SealiftError
from pkg.observability.logging import fields
from sealift.ctrl.v1 import deployment_pb2
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.deployment import DeploymentReconciler
from svc.krane.controller.deps import KraneDeps
from svc.krane.controller.desired import Change

log = logging.getLogger(__name__)

RESYNC_S = 30.0
OBSERVE_TIMEOUT_S = 10.0


class Reconciler:
    """Owns every deployment's reconciler. Their work is serialised per deployment and parallel between them."""

    def __init__(self, deps: KraneDeps, resync_s: float = RESYNC_S) -> None:
        self._deps = deps
        self._resync_s = resync_s
        self._deployments: dict[str, tuple[DeploymentReconciler, asyncio.Task[None]]] = {}
        self._resync_due = asyncio.Event()
        self._resync_due.set()
        self._was_confirmed = False
        self.resynced = asyncio.Event()

    def apply(self, change: Change) -> None:
        """Requests a pass of what changed; a new snapshot also looks for what is not in it."""
        for deployment_id in change.deployments:
            known = {one for one in self._deployments if split_workload(one)[0] == deployment_id}
            for workload in {deployment_id} | known | self._deps.desired.workloads(deployment_id):
                self._of(workload).request(changed=True)
        is_confirmed = self._deps.desired.is_confirmed
        if change.snapshot or is_confirmed != self._was_confirmed:
            self._was_confirmed = is_confirmed
            self._resync_due.set()

    def lead(self) -> None:
        """This replica leads from now on: looks at everything there is, and reports all of it."""
        self._deps.reporter.lead()
        for reconciler, _ in self._deployments.values():
            reconciler.request()
        self._resync_due.set()

    async def run(self) -> None:
        """Works from when the runtime is found until cancelled; instances keep running after that."""
        try:
            await self._deps.engine_found.wait()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._resync_for_ever())
                group.create_task(self._follow_events())
        finally:
            tasks = [task for _, task in self._deployments.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_probed(self, timeout_s: float) -> bool:
        """Waits until the first resync is over and every running instance was probed once; False when time ran out."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.resynced.wait()
                await asyncio.gather(*(one.wait_probed() for one, _ in list(self._deployments.values())))
        except TimeoutError:
            return False
        return True

    async def resync(self) -> None:
        """Looks at everything there is and everything there should be, then reports all of it."""
        refs = await self._deps.runtime.list_instances()
        self._deps.endpoints.occupied({one.address: one.deployment_id for one in refs if one.address})
        found = {one.deployment_id for one in refs}
        for deployment_id in found | self._deps.desired.deployment_ids() | self._deps.endpoints.remembered:
            self._of(deployment_id).request()
        self.resynced.set()
        reconcilers = [one for one, _ in self._deployments.values()]
        # A complete report that lacks an instance whose first probe is still out would make the api forget it.
        try:
            async with asyncio.timeout(OBSERVE_TIMEOUT_S):
                await asyncio.gather(*(one.wait_probed() for one in reconcilers))
        except TimeoutError:
            log.warning("not every instance was seen in time; the complete report waits for the next resync")
            return
        # Before the api has spoken, what it wants may be unknown here: a list of all that lacks it would say "none".
        if self._deps.desired.is_confirmed:
            self._deps.reporter.report_all()
        await self._deps.runtime.collect_garbage()
        states = Counter(i.verdict()[0] for one in reconcilers for i in one.instances.values())
        names = {
            deployment_pb2.InstanceState.Name(s).removeprefix("INSTANCE_STATE_").lower(): n for s, n in states.items()
        }
        self._deps.metrics.instances(names)

    def _of(self, deployment_id: str) -> DeploymentReconciler:
        known = self._deployments.get(deployment_id)
        if known is not None:
            return known[0]
        reconciler = DeploymentReconciler(deployment_id, self._deps)
        task = asyncio.create_task(reconciler.run(), name=f"reconcile {deployment_id}")
        self._deployments[deployment_id] = (reconciler, task)
        task.add_done_callback(lambda ended: self._ended(reconciler, ended))
        return reconciler

    def _ended(self, reconciler: DeploymentReconciler, task: asyncio.Task[None]) -> None:
        self._deployments.pop(reconciler.deployment_id, None)
        if not task.cancelled() and reconciler.is_requested:  # between its end and now
            self._of(reconciler.deployment_id).request(changed=True)

    async def _resync_for_ever(self) -> None:
        backoff = Backoff(0.2, 15)
        while True:
            self._resync_due.clear()
            delay = self._resync_s
            if self._deps.desired.is_complete:
                try:
                    await self.resync()
                    backoff.reset()
                except SealiftError as error:
                    delay = backoff.next_s()
                    log.warning("the resync failed; trying again", extra=fields(error=str(error)))
            try:
                async with asyncio.timeout(delay):
                    await self._resync_due.wait()
            except TimeoutError:
                pass

    async def _follow_events(self) -> None:
        backoff = Backoff(0.1, 5)
        while True:
            try:
                async for event in self._deps.runtime.events():
                    backoff.reset()
                    known = self._deployments.get(event.deployment_id)
                    if known is not None:
                        known[0].notice(event)
            except SealiftError as error:
                log.warning("the runtime's event stream broke; asking again", extra=fields(error=str(error)))
            await asyncio.sleep(backoff.next_s())
            self._resync_due.set()  # events may have been missed
