"""Jobs: each is started once, watched to its end, reported, and removed once the api has its end.

One task per job makes passes: it compares what is desired with the container or Pod of the job's name, so that the next
krane goes on wherever this one was killed. Of one environment's release commands one runs at a time: the earliest,
and only when nothing of another one is left.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

import grpc.aio

from pkg.errors import FailedPrecondition, SealiftError
from pkg.observability.logging import fields
from sealift.ctrl.v1 import cluster_pb2 as pb
from sealift.ctrl.v1 import job_pb2
from svc.krane.controller.app_output import AppOutput, shown
from svc.krane.controller.backoff import Backoff
from svc.krane.controller.desired import DesiredState
from svc.krane.controller.job_rules import Clock, next_of, outcome, still_running
from svc.krane.controller.log_shipping import LogShipping
from svc.krane.controller.topology import deployment_spec
from svc.krane.runtime.port import (
    InstanceStatus,
    JobObservation,
    JobRef,
    JobSpec,
    Observation,
    PendingError,
    Runtime,
)

log = logging.getLogger(__name__)

RESYNC_S = 30.0
REPEAT_S = 10.0  # a job that has not ended is reported so often, changed or not: the api counts on it
LOOK_S = (0.1, 1.0)
RETRY_S = (0.2, 5.0)
SHIPPED_WITHIN_S = 15.0  # what it printed is at the api before its end is
EXPIRED_SHIPPED_WITHIN_S = 3.0  # the runtime may not show more of it
STOP_GRACE_S = 10
MAX_BATCH = 100

Send = Callable[[pb.ReportJobsRequest], Awaitable[object]]


class Jobs:
    """The jobs of the region.

    Args:
        send: reports to the api.
        term: of this replica's leadership; while it is None nothing is made, ended or reported.
        engine_found: set once the runtime has answered.
    """

    def __init__(
        self,
        region: str,
        runtime: Runtime,
        desired: DesiredState,
        logs: LogShipping,
        send: Send,
        engine_found: asyncio.Event,
        term: Callable[[], int | None] = lambda: 0,
        stop_grace_s: int = STOP_GRACE_S,
    ) -> None:
        self._region = region
        self._runtime = runtime
        self._desired = desired
        self._logs = logs
        self._send = send
        self._engine_found = engine_found
        self._term = term
        self._stop_grace_s = stop_grace_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._there: dict[str, JobRef] = {}
        self._reports: dict[str, pb.JobReport] = {}
        self._dirty: dict[str, None] = {}
        self._has_work = asyncio.Event()
        self._changed = asyncio.Condition()
        self._is_due = asyncio.Event()

    def changed(self) -> None:
        """The desired state may be another one."""
        self._is_due.set()

    async def run(self) -> None:
        """Works from when the runtime is found until cancelled; jobs go on after that."""
        await self._engine_found.wait()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._look_for_ever())
                group.create_task(self._report_for_ever())
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _look_for_ever(self) -> None:
        listed_at, backoff = -RESYNC_S, Backoff(*RETRY_S)
        while True:
            self._is_due.clear()
            wait_s = RESYNC_S
            if self._term() is None or not self._desired.is_complete:
                wait_s, listed_at = 1.0, -RESYNC_S  # another krane may have made some meanwhile
                self._reports.clear()
            elif time.monotonic() - listed_at >= RESYNC_S:
                try:
                    listed = {ref.job_id: ref for ref in await self._runtime.list_jobs()}
                    # what was made since the question is not in the answer
                    self._there = {job_id: ref for job_id, ref in self._there.items() if job_id in self._tasks} | listed
                    listed_at = time.monotonic()
                    backoff.reset()
                except SealiftError as error:
                    wait_s = backoff.next_s()
                    log.warning("the jobs can't be listed; trying again", extra=fields(error=str(error)))
            if listed_at >= 0 and self._term() is not None:
                for job_id in {*self._desired.jobs(), *self._there} - self._tasks.keys():
                    task = asyncio.create_task(self._reconcile(job_id), name=f"job {job_id}")
                    self._tasks[job_id] = task
                    task.add_done_callback(partial(self._ended, job_id))
            async with self._changed:
                self._changed.notify_all()
            try:
                async with asyncio.timeout(wait_s):
                    await self._is_due.wait()
            except TimeoutError:
                pass

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(job_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a job is not reconciled; trying again", exc_info=error, extra=fields(job_id=job_id))
        elif self._desired.job(job_id) is not None:  # between its end and now
            self._is_due.set()

    async def _reconcile(self, job_id: str) -> None:
        """Passes until nothing of the job is desired and nothing is there, or another krane leads."""
        clock, backoff, faults = Clock(), Backoff(*LOOK_S), Backoff(*RETRY_S)
        while self._term() is not None:
            job = self._desired.job(job_id)
            try:
                if job is None:
                    if not self._desired.is_confirmed:  # what the api wants now may not be known yet
                        await self._wait(1.0)
                        continue
                    await self._remove(job_id)
                    return
                wait_s = await self._pass(job, clock)
                faults.reset()
                if wait_s is None:
                    wait_s = backoff.next_s()
                else:
                    backoff.reset()
            except SealiftError as error:
                if not clock.is_running:
                    self._report(job_id, job_pb2.JOB_STATUS_PENDING, error.message)
                log.info("a job waits", extra=fields(job_id=job_id, error=error.message))
                wait_s = faults.next_s()
            await self._wait(wait_s)

    async def _pass(self, job: pb.DesiredJob, clock: Clock) -> float | None:
        """Seconds until the next one; None: soon, with growing pauses."""
        known = self._reports.get(job.job_id)
        if known is not None and known.status not in still_running():
            return REPEAT_S  # reported, or about to be; what is left is removed once the api has it
        spec = JobSpec(job.job_id, deployment_spec(job.of), job.kind == job_pb2.JOB_KIND_RELEASE)
        seen = await self._runtime.observe_job(spec)
        if seen is None or seen.seen.status is InstanceStatus.CREATED:
            return await self._start(job, spec, seen, clock)
        self._logs.job_seen(seen.seen, job.of, lambda: self._observed(spec))
        if seen.seen.status is not InstanceStatus.EXITED:
            self._report(job.job_id, job_pb2.JOB_STATUS_RUNNING, seen=seen)
            if job.stopped or clock.left_s(seen, job.timeout_s) <= 0:
                await self._runtime.stop_job(spec, grace_s=self._stop_grace_s)
                return 0.0
            return None
        await self._finish(job, spec, seen, clock)
        return REPEAT_S

    async def _observed(self, spec: JobSpec) -> Observation | None:
        found = await self._runtime.observe_job(spec)
        return None if found is None else found.seen

    async def _start(
        self, job: pb.DesiredJob, spec: JobSpec, seen: JobObservation | None, clock: Clock
    ) -> float | None:
        if job.stopped:
            if seen is not None:
                await self._runtime.remove_job(job.job_id)
            self._end(job.job_id, job_pb2.JOB_STATUS_STOPPED)
            return REPEAT_S
        if spec.is_release:
            others = [one for one in self._there.values() if one.job_id != job.job_id]
            first = next_of(job, self._desired.jobs().values(), others)
            if first != job.job_id:
                self._report(job.job_id, job_pb2.JOB_STATUS_PENDING, f"another release command, {first}, runs")
                return 1.0
        self._there[job.job_id] = JobRef(job.job_id, job.of.environment_id, spec.is_release)
        try:
            found = await self._runtime.start_job(spec)
        except PendingError as error:
            self._report(job.job_id, job_pb2.JOB_STATUS_PENDING, error.message)
            return None
        except FailedPrecondition as error:
            self._end(job.job_id, job_pb2.JOB_STATUS_FAILED, code=error.code, reason=error.message)
            return REPEAT_S
        clock.started()
        if found.seen.status is InstanceStatus.CREATED:  # its runtime starts it in a moment
            return None
        log.info("job started", extra=fields(job_id=job.job_id, deployment_id=job.of.deployment_id))
        return 0.0

    async def _finish(self, job: pb.DesiredJob, spec: JobSpec, seen: JobObservation, clock: Clock) -> None:
        """Reports the end, after what it printed."""
        try:
            async with asyncio.timeout(EXPIRED_SHIPPED_WITHIN_S if seen.has_expired else SHIPPED_WITHIN_S):
                while not self._logs.is_shipped(seen.seen.uid):
                    self._logs.job_seen(seen.seen, job.of, lambda: self._observed(spec))
                    await asyncio.sleep(0.05)
        except TimeoutError:
            log.warning("the output of a job is not shipped yet", extra=fields(job_id=job.job_id))
        output = AppOutput(self._runtime)
        output.use(job.of.variables, job.of.plain_variables)
        lines, not_executed, reason = list[str](), None, seen.reason
        try:
            lines, not_executed = await output.read(seen.seen.name, "")
        except SealiftError as error:  # its end counts more
            log.info("the output of a job can't be read", extra=fields(job_id=job.job_id, error=error.message))
        if not_executed is not None:
            reason = f"the program {not_executed.program} can't be executed: {not_executed.cause}"
        status = outcome(job, seen, is_late=clock.was_late)
        exit_code = None if status == job_pb2.JOB_STATUS_TIMED_OUT else seen.seen.exit_code
        self._end(
            job.job_id, status, exit_code=exit_code, reason=output.redacted(reason), seen=seen, log_tail=shown(lines)
        )

    async def _remove(self, job_id: str) -> None:
        await self._runtime.remove_job(job_id)
        self._there.pop(job_id, None)
        self._reports.pop(job_id, None)
        self._dirty.pop(job_id, None)
        self._is_due.set()  # another one may wait for that

    def _end(
        self,
        job_id: str,
        status: job_pb2.JobStatus.ValueType,
        *,
        exit_code: int | None = None,
        code: str = "",
        reason: str = "",
        seen: JobObservation | None = None,
        log_tail: list[str] | None = None,
    ) -> None:
        report = pb.JobReport(
            job_id=job_id,
            status=status,
            instance_id="" if seen is None else seen.seen.name,
            started_at=0 if seen is None else seen.seen.started_at_ms,
            exit_code=exit_code,
            code=code,
            reason=reason[:1024],
            log_tail=log_tail or (),
        )
        self._put(report)
        name = job_pb2.JobStatus.Name(status).removeprefix("JOB_STATUS_").lower()
        log.info("a job has ended", extra=fields(job_id=job_id, status=name))

    def _report(
        self,
        job_id: str,
        status: job_pb2.JobStatus.ValueType,
        reason: str = "",
        seen: JobObservation | None = None,
    ) -> None:
        report = pb.JobReport(job_id=job_id, status=status, reason=reason[:1024])
        if seen is not None:
            report.instance_id, report.started_at = seen.seen.name, seen.seen.started_at_ms
        if self._reports.get(job_id) != report:
            self._put(report)

    def _put(self, report: pb.JobReport) -> None:
        self._reports[report.job_id] = report
        self._dirty[report.job_id] = None
        self._has_work.set()

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _report_for_ever(self) -> None:
        backoff, repeat_at = Backoff(*RETRY_S), time.monotonic() + REPEAT_S
        while True:
            try:
                async with asyncio.timeout(max(0.0, repeat_at - time.monotonic())):
                    await self._has_work.wait()
            except TimeoutError:
                repeat_at = time.monotonic() + REPEAT_S
                self._dirty |= dict.fromkeys(self._reports)
            self._has_work.clear()
            while self._dirty and (term := self._term()) is not None:
                batch = [self._reports[job_id] for job_id in list(self._dirty)[:MAX_BATCH] if job_id in self._reports]
                self._dirty = dict.fromkeys(list(self._dirty)[MAX_BATCH:])
                try:
                    await self._send(pb.ReportJobsRequest(region=self._region, jobs=batch, leader_term=term))
                    backoff.reset()
                except grpc.aio.AioRpcError as error:
                    self._dirty |= dict.fromkeys(report.job_id for report in batch)
                    log.info(
                        "the api did not take reports of jobs; trying again",
                        extra=fields(grpc_status=error.code().name, error=error.details()),
                    )
                    await asyncio.sleep(backoff.next_s())
