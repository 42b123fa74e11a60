"""The release command: one job in one region, which ends before any instance of the deployment starts.

The job's id follows from the deployment's, so a repeated step finds the one that there is; krane starts a container of
a name that follows from the id in turn. Release jobs of an environment run one at a time.
"""

from functools import partial
from typing import Literal

from restate import WorkflowContext
from sqlalchemy import Connection

from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.settings import from_json
from pkg.deployments.status import Status, Step
from pkg.errors import FailedPrecondition
from pkg.images.portability import SET_A_REGISTRY
from pkg.jobs import placement, rules
from pkg.jobs import queries as jobs
from pkg.jobs.model import Job, JobKind, JobStatus, release_job_id
from pkg.output.excerpt import excerpt
from pkg.regions import queries as regions
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows import instances
from svc.worker.workflows.compensation import Compensations, ExitReason, WorkflowExit
from svc.worker.workflows.deploy.record import DeployInput
from svc.worker.workflows.waiting import RELEASED, Observation, StopSignal, WakeUp, watch

TURN_TIMEOUT_S = 2 * 3600  # of the environment's other release commands, each of which is bounded
REGION_TIMEOUT_S = 60
# Ends every wait whatever the rules say: each of them is far below.
RUN_TIMEOUT_S = rules.START_BOUND_S + rules.MAX_RELEASE_TIMEOUT_S + rules.AWAY_BOUND_S
MAX_LOG_LINES = 20
_MAX_MESSAGE_CHARS = 2000  # of the row's limit
_CODES = {
    "job.command_failed": "release.command_failed",
    "job.timed_out": "release.timed_out",
    "job.not_started": "release.not_started",
    "job.region_away": "release.region_away",
}

Outcome = Literal["begun", "no_region", "waiting", "running", "succeeded", "failed", "stopped", "over"]


class ReleaseObservation(Observation, frozen=True, kw_only=True):
    """How far the release is. `waiting`: another release command of the environment runs."""

    outcome: Outcome


async def run_release(
    ctx: WorkflowContext, journal: Journal, deploy: DeployInput, stop: StopSignal, undo: Compensations
) -> None:
    """Runs the release command, if there is one, and waits for its end. Raises WorkflowExit."""
    if not deploy.releases:
        return
    deployment_id = deploy.deployment_id
    undo.add(partial(end_release, journal, deployment_id))
    begun = await watch(journal, "begin release", begin_release, REGION_TIMEOUT_S, None, stop, deployment_id)
    if begun.outcome == "waiting":
        begun = await watch(journal, "release turn", begin_release, TURN_TIMEOUT_S, None, stop, deployment_id)
    if begun.outcome in ("no_region", "waiting"):
        await journal.step("note no release", note_not_begun, deployment_id)
        raise WorkflowExit(ExitReason.FAILED)
    if begun.outcome == "begun":
        begun = await watch(
            journal, "release", observe_release, RUN_TIMEOUT_S, WakeUp(ctx, RELEASED), stop, deployment_id
        )
    if begun.outcome == "succeeded":
        return
    if begun.outcome in ("stopped", "over"):
        raise WorkflowExit(ExitReason(begun.outcome))
    raise WorkflowExit(ExitReason.FAILED)


async def begin_release(deps: WorkerDeps, deployment_id: str) -> ReleaseObservation:
    """Records the job, and tells its region once it is its turn. Idempotent."""

    def write(connection: Connection) -> ReleaseObservation:
        now = deps.clock()
        found = deployments.get(connection, deployment_id)
        if (outcome := _left(found)) is not None or found is None:
            return ReleaseObservation(settled=True, now=now, outcome=outcome or "over")
        _enter(connection, found, now)
        job = jobs.get(connection, release_job_id(deployment_id))
        if job is None:
            outcome = _place(connection, found, now)
            if outcome is not None:
                return ReleaseObservation(settled=outcome == "failed", now=now, outcome=outcome)
            job = jobs.get(connection, release_job_id(deployment_id))
            assert job is not None
        if job.wanted_at is None and not job.status.is_terminal:
            other = jobs.predecessor(connection, job)
            if other:
                before = jobs.get(connection, other)
                if before is None or not jobs.end_overdue(connection, before, now):
                    # settled for the short wait alone: the long one follows
                    return ReleaseObservation(settled=False, now=now, outcome="waiting")
            jobs.want(connection, job, now)
        return ReleaseObservation(settled=True, now=now, outcome="begun")

    return await deps.db.write(write)


def _left(found: Deployment | None) -> Outcome | None:
    if found is None or found.status.is_terminal:
        return "over"
    return "stopped" if found.cancel_requested_at is not None else None


def _enter(connection: Connection, found: Deployment, now: int) -> None:
    if deployments.enter(connection, found.id, Status.DEPLOYING, now):
        deployments.end_open_steps(connection, found.id, now)
        deployments.start_step(connection, found.id, Step.RELEASING, now)


def _place(connection: Connection, found: Deployment, now: int) -> Literal["no_region", "failed"] | None:
    """Records the job in a region; None: it is recorded."""
    known = regions.every(connection)
    if not known:
        return "no_region"
    image_ref = found.image_ref or found.docker_image
    if why := instances.obstacle(image_ref, known):
        message = f"The image exists on one Docker engine only, and {why}. {SET_A_REGISTRY}"
        _note(connection, found.id, now, code="image.not_portable", message=message)
        return "failed"
    try:
        region = placement.choose(connection, None, now)
    except FailedPrecondition as error:
        _note(connection, found.id, now, code=error.code, message=error.message)
        return "failed"
    assert region is not None
    settings = from_json(found.settings_json)
    jobs.add(
        connection,
        job_id=release_job_id(found.id),
        workspace_id=found.workspace_id,
        project_id=found.project_id,
        environment_id=found.environment_id,
        deployment_id=found.id,
        region=region.name,
        kind=JobKind.RELEASE,
        image_ref=image_ref,
        command=settings.release_command or (),
        timeout_s=settings.release_timeout_s,
        now=now,
    )
    return None


async def note_not_begun(deps: WorkerDeps, deployment_id: str) -> None:
    """Keeps why the command was never started. Idempotent."""

    def write(connection: Connection) -> None:
        job = jobs.get(connection, release_job_id(deployment_id))
        if job is None:
            message = f"No region registered within {REGION_TIMEOUT_S} s: is krane running? Start it and deploy again."
            _note(connection, deployment_id, deps.clock(), code="instance.no_region", message=message)
            return
        message = (
            f"The release commands of other deploys in this environment took more than {TURN_TIMEOUT_S // 3600} h, and "
            "they run one at a time. `sealift run --list` shows them; deploy again once they have ended."
        )
        _note(connection, deployment_id, deps.clock(), code="release.not_started", message=message)

    await deps.db.write(write)


async def observe_release(deps: WorkerDeps, deployment_id: str) -> ReleaseObservation:
    """Reads once how the job is, ends it if its region has not in time, and notes its failure. Idempotent."""

    def write(connection: Connection) -> ReleaseObservation:
        now = deps.clock()
        if (outcome := _left(deployments.get(connection, deployment_id))) is not None:
            return ReleaseObservation(settled=True, now=now, outcome=outcome)
        job = jobs.get(connection, release_job_id(deployment_id))
        if job is not None and jobs.end_overdue(connection, job, now):
            job = jobs.get(connection, job.id)
        if job is None:
            message = "Its job is gone: deploy again."
            _note(connection, deployment_id, now, code="release.not_started", message=message)
            return ReleaseObservation(settled=True, now=now, outcome="failed")
        if not job.status.is_terminal:
            return ReleaseObservation(settled=False, now=now, outcome="running")
        if job.status is JobStatus.SUCCEEDED:
            deployments.end_step(connection, deployment_id, Step.RELEASING, now)
            return ReleaseObservation(settled=True, now=now, outcome="succeeded")
        code, message = explain(job)
        _note(connection, deployment_id, now, code=code, message=message)
        deployments.keep_output(connection, deployment_id, tuple(job.log_tail_json))
        return ReleaseObservation(settled=True, now=now, outcome="failed")

    return await deps.db.write(write)


def explain(job: Job) -> tuple[str, str]:
    """Code and words for why the release failed, with the last lines that the command printed. Pure."""
    if job.status is JobStatus.STOPPED:
        said = "It was stopped: its container or Pod was ended by hand, or its environment is being deleted."
    else:
        said = job.error_message or "It did not succeed."
    code = _CODES.get(job.error_code or "", job.error_code or "release.command_failed")
    words = " ".join(job.command_json)
    shown = words if len(words) <= 200 else f"{words[:200]}…"
    head = f"The release command `{shown}` failed. {said} Nothing of this deploy has started"
    room = max(200, _MAX_MESSAGE_CHARS - len(head) - 100)
    lines = excerpt(job.log_tail_json, MAX_LOG_LINES, room)
    more = f"`sealift logs {job.deployment_id}` shows all it printed"
    return code, "\n".join([f"{head}; {more}. Last log lines:", *lines]) if lines else f"{head}."


async def end_release(journal: Journal, deployment_id: str) -> None:
    """Compensation: the command does not run any more, or its region had its time to end it."""
    first = await journal.step("stop release", stop_release, deployment_id)
    if not first.settled:
        await watch(journal, "release stopped", stop_release, 2 * rules.STOP_BOUND_S, None, None, deployment_id)


async def stop_release(deps: WorkerDeps, deployment_id: str) -> Observation:
    """Asks the job to end, and ends it if its region has not in time. Idempotent."""

    def write(connection: Connection) -> bool:
        now = deps.clock()
        job = jobs.request_stop(connection, release_job_id(deployment_id), now)
        return job is None or job.status.is_terminal or jobs.end_overdue(connection, job, now)

    return Observation(settled=await deps.db.write(write), now=deps.clock())


def _note(connection: Connection, deployment_id: str, now: int, *, code: str, message: str) -> None:
    deployments.note_error(connection, deployment_id, code=code, message=message, step=Step.RELEASING, now=now)
