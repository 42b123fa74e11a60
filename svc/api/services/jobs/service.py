"""The servicer of JobService."""

# ruff: noqa: N802 - methods are named as the protos name them

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from sqlalchemy import Connection

from pkg.deletions.gates import check_not_deleting
from pkg.deployments import queries as deployments
from pkg.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from pkg.ids import new_id
from pkg.jobs import placement, queries, rules
from pkg.jobs.model import Job, JobKind
from pkg.observability.logging import fields
from pkg.routes import queries as routes
from sealift.ctrl.v1 import common_pb2
from sealift.ctrl.v1 import job_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.requests import lookup, paging
from svc.api.requests.checks import check_range
from svc.api.requests.follow import follow
from svc.api.requests.idempotency import key_of
from svc.api.requests.job_enums import JOB_KINDS, JOB_STATUSES
from svc.api.requests.mutation import Change, mutate
from svc.api.requests.settings import command_of
from svc.api.rpc import Call

log = logging.getLogger(__name__)


class JobServicer:
    """Jobs of the caller's workspace. krane carries them out."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def RunCommand(self, request: pb.RunCommandRequest, call: Call) -> pb.RunCommandResponse:
        """Answers after the commit: from then on the job ends within its bounds."""
        command = command_of("command", list(request.command))
        if not command:
            raise InvalidArgument("command", "is required: the program to run, and its arguments")
        timeout_s = rules.DEFAULT_RUN_TIMEOUT_S
        if request.timeout_s:
            timeout_s = check_range("timeout_s", request.timeout_s, 1, rules.MAX_RUN_TIMEOUT_S, "seconds")
        key = key_of(request, self._deps.payload_key)

        def record(connection: Connection) -> Change[tuple[Job, bool]]:
            environment, now = lookup.environment(connection, call.workspace_id, request.environment_id), self._clock()
            made = None if key is None else key.find(connection, environment.project_id, now)
            if made is not None:
                return Change((lookup.job(connection, call.workspace_id, made), True), {})
            check_not_deleting(connection, environment.deletion_id)
            live_id = routes.live_deployment_id(connection, environment.id)
            live = None if live_id is None else deployments.get(connection, live_id)
            if live is None:
                raise FailedPrecondition(
                    "environment.nothing_live",
                    f"Nothing is live in the environment {environment.slug!r}, so there is no image to run a command "
                    "with: `sealift deploy` deploys one.",
                )
            if queries.active_runs(connection, environment.id) >= rules.MAX_ACTIVE_RUNS:
                raise ResourceExhausted(
                    "job.too_many",
                    f"{rules.MAX_ACTIVE_RUNS} commands run in the environment {environment.slug!r} already, and no "
                    "more may: wait for one, or end one with `sealift run --stop JOB` (`sealift run --list`).",
                )
            job = queries.add(
                connection,
                job_id=new_id("job"),
                workspace_id=environment.workspace_id,
                project_id=environment.project_id,
                environment_id=environment.id,
                deployment_id=live.id,
                region=placement.where(connection, live.id, now).name,
                kind=JobKind.RUN,
                image_ref=live.image_ref or live.docker_image,
                command=command,
                timeout_s=timeout_s,
                now=now,
            )
            queries.want(connection, job, now)
            if key is not None:
                key.keep(connection, environment.project_id, job.id, now)
            return Change((lookup.job(connection, call.workspace_id, job.id), False), _targets(job))

        job, already = await mutate(self._deps, call, record)
        if not already:
            extra = fields(job_id=job.id, environment_id=job.environment_id, deployment_id=job.deployment_id)
            log.info("job recorded", extra=extra)
        return pb.RunCommandResponse(job=_render(job), already_recorded=already)

    async def GetJob(self, request: pb.GetJobRequest, call: Call) -> pb.GetJobResponse:
        """The job as it is now."""
        job = await self._deps.db.read(lookup.job, call.workspace_id, request.job_id)
        return pb.GetJobResponse(job=_render(job))

    async def ListJobs(self, request: pb.ListJobsRequest, call: Call) -> pb.ListJobsResponse:
        """Newest first."""
        size, before = paging.page_size(request.page_size), paging.after(request.page_token)

        def load(connection: Connection) -> list[Job]:
            environment = lookup.environment(connection, call.workspace_id, request.environment_id)
            return queries.newest(connection, environment.id, before_id=before, limit=size + 1)

        page, token = paging.cut(await self._deps.db.read(load), size, lambda job: job.id)
        return pb.ListJobsResponse(jobs=[_render(job) for job in page], next_page_token=token)

    async def WatchJob(self, request: pb.WatchJobRequest, call: Call) -> AsyncGenerator[pb.WatchJobResponse, None]:
        """The job at once and after every change; ends after its status is terminal."""

        def load(connection: Connection) -> tuple[pb.WatchJobResponse, bool]:
            job = lookup.job(connection, call.workspace_id, request.job_id)
            return pb.WatchJobResponse(job=_render(job)), job.status.is_terminal

        async with aclosing(follow(self._deps.db, load)) as messages:
            async for message in messages:
                yield message

    async def StopJob(self, request: pb.StopJobRequest, call: Call) -> pb.StopJobResponse:
        """Idempotent."""

        def stop(connection: Connection) -> Change[Job]:
            job = lookup.job(connection, call.workspace_id, request.job_id)
            if job.kind is JobKind.RELEASE and not job.status.is_terminal:
                raise FailedPrecondition(
                    "job.of_deploy",
                    f"{job.id} is the release command of the deploy {job.deployment_id}: `sealift cancel "
                    f"{job.deployment_id}` ends both.",
                )
            asked = queries.request_stop(connection, job.id, self._clock())
            assert asked is not None
            is_repetition = job.status.is_terminal or job.stop_requested_at is not None
            return Change(asked, {} if is_repetition else _targets(job))

        job = await mutate(self._deps, call, stop)
        log.info("job stop requested", extra=fields(job_id=job.id))
        return pb.StopJobResponse(job=_render(job))

    def _clock(self) -> int:
        return self._deps.clock()


def _targets(job: Job) -> dict[str, str]:
    return {
        "project_id": job.project_id,
        "environment_id": job.environment_id,
        "deployment_id": job.deployment_id,
        "job_id": job.id,
    }


def _render(job: Job) -> pb.Job:
    error = None
    if job.error_code or job.error_message:
        error = common_pb2.Problem(code=job.error_code or "", message=job.error_message or "")
    return pb.Job(
        job_id=job.id,
        kind=JOB_KINDS[job.kind],
        status=JOB_STATUSES[job.status],
        project_id=job.project_id,
        environment_id=job.environment_id,
        deployment_id=job.deployment_id,
        region=job.region,
        instance_id=job.instance_id,
        command=job.command_json,
        timeout_s=job.timeout_s,
        exit_code=job.exit_code,
        error=error,
        waits_for=job.waits_for,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at or 0,
        stop_requested=job.stop_requested_at is not None,
    )
