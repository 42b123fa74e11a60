"""Statements about jobs. What a region is to run of them is recorded in the feed in the same transaction."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from pkg.db import rows
from pkg.desired.capabilities import JOB
from pkg.feed.queries import record
from pkg.jobs.model import ACTIVE, Job, JobEnd, JobKind, JobSeen, JobStatus
from pkg.jobs.rules import overdue
from pkg.jobs.tables import jobs

MAX_MESSAGE_CHARS = 2048
MAX_TAIL_LINES = 100


def add(
    connection: Connection,
    *,
    job_id: str,
    workspace_id: str,
    project_id: str,
    environment_id: str,
    deployment_id: str,
    region: str,
    kind: JobKind,
    image_ref: str,
    command: Sequence[str],
    timeout_s: int,
    now: int,
) -> Job:
    """Inserts a job that waits for its turn; the one of this id if there is one. Idempotent."""
    if (known := get(connection, job_id)) is not None:
        return known
    connection.execute(
        insert(jobs).values(
            id=job_id,
            workspace_id=workspace_id,
            project_id=project_id,
            environment_id=environment_id,
            deployment_id=deployment_id,
            region=region,
            kind=kind,
            status=JobStatus.PENDING,
            image_ref=image_ref,
            command_json=list(command),
            timeout_s=timeout_s,
            waits_for="",
            started_at=0,
            log_tail_json=[],
            created_at=now,
        )
    )
    made = get(connection, job_id)
    assert made is not None
    return made


def get(connection: Connection, job_id: str, *, workspace_id: str | None = None) -> Job | None:
    """The job, or None when it does not exist (in that workspace)."""
    query = select(jobs).where(jobs.c.id == job_id)
    if workspace_id is not None:
        query = query.where(jobs.c.workspace_id == workspace_id)
    return rows.one(Job, connection.execute(query))


def active(connection: Connection) -> list[Job]:
    """Every job that has not ended, the earliest first."""
    query = select(jobs).where(jobs.c.status.in_(ACTIVE)).order_by(jobs.c.created_at, jobs.c.id)
    return rows.every(Job, connection.execute(query))


def active_runs(connection: Connection, environment_id: str) -> int:
    """How many jobs of users have not ended in the environment."""
    query = select(func.count()).where(
        jobs.c.environment_id == environment_id, jobs.c.kind == JobKind.RUN, jobs.c.status.in_(ACTIVE)
    )
    return int(connection.execute(query).scalar_one())


def wanted_in(connection: Connection, region: str) -> list[Job]:
    """What the region is to run, or to stop."""
    query = select(jobs).where(jobs.c.region == region, jobs.c.status.in_(ACTIVE), jobs.c.wanted_at.is_not(None))
    return rows.every(Job, connection.execute(query.order_by(jobs.c.created_at, jobs.c.id)))


def newest(connection: Connection, environment_id: str, *, before_id: str | None, limit: int) -> list[Job]:
    """A page of the environment's jobs, newest first."""
    query = select(jobs).where(jobs.c.environment_id == environment_id)
    if before_id:
        query = query.where(jobs.c.id < before_id)
    return rows.every(Job, connection.execute(query.order_by(jobs.c.id.desc()).limit(limit)))


def predecessor(connection: Connection, job: Job) -> str:
    """The release job of the environment that has begun and not ended; "" if there is none beside this one."""
    query = select(jobs.c.id).where(
        jobs.c.environment_id == job.environment_id,
        jobs.c.kind == JobKind.RELEASE,
        jobs.c.status.in_(ACTIVE),
        jobs.c.wanted_at.is_not(None),
        jobs.c.id != job.id,
    )
    return str(connection.execute(query.order_by(jobs.c.id).limit(1)).scalar() or "")


def want(connection: Connection, job: Job, now: int) -> bool:
    """Tells its region to run it. False: it has been told, or it has ended."""
    statement = (
        update(jobs)
        .where(jobs.c.id == job.id, jobs.c.status == JobStatus.PENDING, jobs.c.wanted_at.is_(None))
        .values(wanted_at=now)
    )
    told = connection.execute(statement).rowcount == 1
    if told:
        record(connection, JOB, job.id, now, region=job.region)
    return told


def request_stop(connection: Connection, job_id: str, now: int) -> Job | None:
    """Asks it to end; one whose region was never told ends at once. Idempotent. The job as it is then."""
    found = get(connection, job_id)
    if found is None or found.status.is_terminal:
        return found
    if found.wanted_at is None:
        finish(connection, job_id, JobEnd(JobStatus.STOPPED), now)
    elif found.stop_requested_at is None:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(stop_requested_at=now))
        record(connection, JOB, job_id, now, region=found.region)
    return get(connection, job_id)


def finish(connection: Connection, job_id: str, end: JobEnd, now: int) -> bool:
    """Ends it; its region is to have nothing of it any more. False: it had ended."""
    found = get(connection, job_id)
    if found is None:
        return False
    statement = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.status.in_(ACTIVE))
        .values(
            status=end.status,
            exit_code=end.exit_code,
            error_code=end.error_code or None,
            error_message=end.error_message[:MAX_MESSAGE_CHARS] or None,
            log_tail_json=list(end.log_tail[-MAX_TAIL_LINES:]),
            waits_for="",
            ended_at=now,
        )
    )
    ended = connection.execute(statement).rowcount == 1
    if ended and found.wanted_at is not None:
        record(connection, JOB, job_id, now, region=found.region)
    return ended


def report(connection: Connection, region: str, seen: JobSeen, now: int) -> Job | None:
    """Stores what the region says of a job; the job if that has ended it. Dropped: of other regions, of ended ones."""
    found = get(connection, seen.job_id)
    if found is None or found.region != region or found.status.is_terminal or found.wanted_at is None:
        return None
    started_at = seen.started_at or found.started_at
    values: dict[str, object] = {"observed_at": now, "started_at": started_at, "waits_for": seen.waits_for[:1024]}
    if seen.is_running:
        values |= {"status": JobStatus.RUNNING, "running_at": found.running_at or now}
    statement = update(jobs).where(jobs.c.id == seen.job_id, jobs.c.status.in_(ACTIVE))
    connection.execute(statement.values(values))
    if seen.end is None or not finish(connection, seen.job_id, seen.end, now):
        return None
    return get(connection, seen.job_id)


def end_overdue(connection: Connection, job: Job, now: int) -> bool:
    """Ends it if its region has not in time, see `rules.overdue`. Repeatable."""
    end = overdue(job, now)
    return end is not None and finish(connection, job.id, end, now)


def prune(connection: Connection, *, before: int) -> int:
    """Deletes jobs that ended before that time. Returns how many."""
    return connection.execute(delete(jobs).where(jobs.c.status.not_in(ACTIVE), jobs.c.ended_at < before)).rowcount
