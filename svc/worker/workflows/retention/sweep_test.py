"""What a sweep forgets and what it keeps: a real database, a real store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, update

from pkg import audit, idempotency
from pkg.access import HOUR_S, MINUTE_S, AccessFigures
from pkg.audit.tables import audit_log
from pkg.builds.model import BuildStatus
from pkg.builds.tables import builds, contexts
from pkg.clock import now_ms
from pkg.deployments.status import Status
from pkg.errors import Unavailable
from pkg.idempotency.tables import idempotency_keys
from pkg.ids import new_id
from pkg.restate.testing import RestateServer
from pkg.storage.testing import put
from pkg.telemetry import AccessRecord, UsageFigures, UsageRecord
from pkg.telemetry.usage import DAY_S, USAGE_KEPT_MS
from svc.worker.deps import WorkerDeps
from svc.worker.testing.harness import WorkerHarness, worker_harness
from svc.worker.workflows.retention.sweep import TASKS, sweep, tasks_of

HOUR_MS = 3_600_000


@pytest.fixture
async def harness(restate_server: RestateServer, tmp_path: Path) -> AsyncIterator[WorkerHarness]:
    async with worker_harness(restate_server, tmp_path) as one:
        yield one


async def test_expired_contexts_go_unless_a_build_needs_them(harness: WorkerHarness) -> None:
    """Promise: disk use is bounded, and no build loses its context under its hands."""
    store, paths = harness.deps.store, {}
    for word in ("idle", "needed", "fresh", "left over"):
        paths[word] = f"contexts/{harness.project_id}/{new_id('bld')}.tar.gz"
        await put(store, paths[word], word.encode())

    def write(connection: Connection) -> None:
        now = now_ms()
        for word, expires_at in (("idle", 1), ("needed", 1), ("fresh", now + 10 * HOUR_MS)):
            connection.execute(
                insert(contexts).values(
                    path=paths[word], project_id=harness.project_id, sha256="0" * 64, size_bytes=len(word),
                    created_at=1, expires_at=expires_at,
                )
            )  # fmt: skip
        connection.execute(
            insert(builds).values(
                id=new_id("bld"), workspace_id=harness.workspace_id, project_id=harness.project_id, attempt=1,
                status=BuildStatus.RUNNING, build_context_path=paths["needed"], dockerfile_path="Dockerfile",
                target="", platform="", build_args_json={}, image_ref="", traceparent="", created_at=now,
            )
        )  # fmt: skip

    await harness.deps.db.write(write)
    for _ in range(2):
        await sweep(tasks_of(harness.deps))
    found = {word for word, path in paths.items() if await store.head(path) is not None}
    assert found == {"needed", "fresh", "left over"}, "what has no row yet may be an upload under way"
    await sweep(tasks_of(harness.later(ms=2 * HOUR_MS).deps))
    found = {word for word, path in paths.items() if await store.head(path) is not None}
    assert found == {"needed", "fresh"}
    kept = harness.deps.metrics.registry.get_sample_value("sealift_kept_bytes", {"kind": "contexts"})
    assert kept == len("needed") + len("fresh")


async def test_old_records_go(harness: WorkerHarness) -> None:
    """Promise: tables are bounded: keys of calls and audit entries are deleted after their time, not before."""

    def write(connection: Connection) -> None:
        for key, now in (("old", now_ms() - 25 * HOUR_MS), ("new", now_ms())):
            idempotency.keep(
                connection, project_id=harness.project_id, key=key, payload_hash="0", result_id="dep_a", now=now
            )
        for request_id, at in (("old", now_ms() - audit.KEEP_MS - HOUR_MS), ("new", now_ms())):
            audit.record(connection, audit.AuditEntry(at, "ws_a", "key_a", "ci", "/a.B/C", request_id, {"x_id": "x"}))

    await harness.deps.db.write(write)
    await sweep(tasks_of(harness.deps))
    left = await harness.deps.db.read(lambda c: c.execute(select(idempotency_keys.c.key)).scalars().all())
    assert left == ["new"]
    left = await harness.deps.db.read(lambda c: c.execute(select(audit_log.c.request_id)).scalars().all())
    assert left == ["new"]


async def test_one_that_fails_does_not_stop_the_others(harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a task that fails, in a way that is known or not, leaves the rest of the cleaning alone."""

    async def away(_: WorkerDeps) -> None:
        raise Unavailable("engine.unavailable", "it is away")

    async def broken(_: WorkerDeps) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr("svc.worker.workflows.retention.sweep.TASKS", (away, broken, *TASKS))
    deployment_id = await harness.deploy(branch="a")
    await harness.ended(deployment_id, Status.READY)
    path = (await harness.built((await harness.deployment(deployment_id)).build_id)).build_context_path
    await harness.deps.db.write(lambda c: c.execute(update(contexts).values(expires_at=1)))
    await sweep(tasks_of(harness.deps))
    assert await harness.deps.store.head(path) is None


async def test_access_figures_go_by_the_length_of_their_steps(harness: WorkerHarness) -> None:
    """Promise: minutes are kept for a day, hours for 30 days."""
    access, now = harness.deps.telemetry.access, now_ms()
    now -= now % HOUR_MS

    def counted(step_s: int, hours_ago: int) -> AccessRecord:
        at = now - hours_ago * HOUR_MS
        return AccessRecord("proj_a", step_s, at, "dep_a", "local", "inst_a", 1, 1, at, False, AccessFigures())

    kept = [counted(MINUTE_S, 22), counted(HOUR_S, 29 * 24)]
    await access.store([*kept, counted(MINUTE_S, 26), counted(HOUR_S, 31 * 24)])
    await sweep(tasks_of(harness.deps))
    assert [await access.read("proj_a", step_s, 0, now) for step_s in (MINUTE_S, HOUR_S)] == [[one] for one in kept]


async def test_usage_goes_by_the_length_of_its_steps(harness: WorkerHarness) -> None:
    """Promise: minutes are kept for a day, hours for 30 days, days for 400."""
    usage, now = harness.deps.telemetry.usage, now_ms()

    def used(step_s: int, days_ago: int) -> UsageRecord:
        at = now - days_ago * DAY_S * 1000
        source = f"{step_s}-{days_ago}"
        figures = UsageFigures()
        return UsageRecord("proj_a", step_s, "dep_a", source, 1, at, 1, "dep-a-0", "local", at, None, 1, figures)

    kept = [used(MINUTE_S, 0), used(HOUR_S, 29), used(DAY_S, 399)]
    await usage.store([*kept, used(MINUTE_S, 2), used(HOUR_S, 31), used(DAY_S, 401)])
    await sweep(tasks_of(harness.deps))
    assert [await usage.latest("proj_a", step_s, now + 1) for step_s in USAGE_KEPT_MS] == [[one] for one in kept]
