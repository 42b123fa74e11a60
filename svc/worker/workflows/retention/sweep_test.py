"""What a sweep forgets and what it keeps: a real database, a real store, a real engine."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, insert, select, update

from pkg import audit, idempotency
from pkg.audit.tables import audit_log
from pkg.builders.docker.images import DockerImages
from pkg.builders.docker.testing import EngineImages, engine_images
from pkg.builds.model import BuildStatus
from pkg.builds.tables import builds, contexts
from pkg.clock import now_ms
from pkg.deployments.status import RunState, Status
from pkg.deployments.tables import deployments
from pkg.errors import FailedPrecondition
from pkg.idempotency.tables import idempotency_keys
from pkg.ids import new_id
from pkg.images import ImageRef, build_image
from pkg.installation.tables import installation
from pkg.operations.model import OperationKind
from pkg.restate.testing import RestateServer
from pkg.storage.testing import put
from pkg.workflows.deploy import DEPLOY
from svc.worker.config import Retention
from svc.worker.testing.harness import WorkerHarness, tarball, worker_harness
from svc.worker.workflows.retention.sweep import sweep

HOUR_MS = 3_600_000


@pytest.fixture
async def engine() -> AsyncIterator[EngineImages]:
    async with engine_images() as images:
        yield images


@pytest.fixture
async def harness(restate_server: RestateServer, tmp_path: Path, engine: EngineImages) -> AsyncIterator[WorkerHarness]:
    """A harness of the installation whose images these are, which keeps one ready deployment's image."""
    async with worker_harness(restate_server, tmp_path) as one:
        same = update(installation).values(installation_id=engine.installation_id)
        await one.deps.db.write(lambda connection: connection.execute(same))
        config = msgspec.structs.replace(one.deps.config, retention=Retention(images_per_environment=1))
        yield replace(one, deps=replace(one.deps, config=config))


async def deployed(harness: WorkerHarness, engine: EngineImages, content: str) -> tuple[str, ImageRef]:
    """A deployment that is live, and its image."""
    image_ref = await engine.add()
    harness.builder.outcome = lambda _: image_ref
    deployment_id = await harness.deploy(archive=tarball(content))
    build_id = (await harness.deployment(deployment_id)).build_id or ""
    await engine.name(image_ref, str(build_image(harness.project_id, build_id)))
    await harness.ended(deployment_id, Status.READY)
    await harness.workflow_over(DEPLOY, deployment_id)
    return deployment_id, image_ref


async def stopped(harness: WorkerHarness, deployment_id: str) -> None:
    """Stops a deployment, as the end of its standby does."""
    await harness.done(await harness.stop(deployment_id))
    await harness.in_run_state(deployment_id, RunState.STOPPED)


async def test_the_oldest_image_goes_and_rollback_targets_stay(harness: WorkerHarness, engine: EngineImages) -> None:
    """Promise: disk use is bounded; what is live, warm, or where a rollback goes is protected."""
    first, first_image = await deployed(harness, engine, "a")
    second, second_image = await deployed(harness, engine, "b")
    _, third_image = await deployed(harness, engine, "c")
    await sweep(harness.deps)
    # all three still run
    assert [await engine.has(image) for image in (first_image, second_image, third_image)] == [True, True, True]
    await stopped(harness, first)
    await stopped(harness, second)
    async with engine_images() as others:
        theirs = await others.add()
        await sweep(harness.later(ms=2 * HOUR_MS).deps)
        assert await others.has(theirs)
    assert [await engine.has(image) for image in (first_image, second_image, third_image)] == [False, True, True]
    assert (await harness.deployment(first)).image_ref == ""
    assert (await harness.built((await harness.deployment(first)).build_id)).image_ref == ""
    assert (await harness.deployment(second)).image_ref == str(second_image)
    with pytest.raises(FailedPrecondition, match=r"deployment\.image_gone"):
        await harness.switch(OperationKind.ROLLBACK, first)
    assert (await harness.done(await harness.switch(OperationKind.ROLLBACK))).deployment_id == second
    assert await harness.live() == second
    kept = harness.deps.metrics.registry.get_sample_value("sealift_kept_bytes", {"kind": "images"})
    assert kept is not None
    assert 0 < kept < 1 << 20


async def test_a_switch_that_was_recorded_first_keeps_its_image(harness: WorkerHarness, engine: EngineImages) -> None:
    """Promise: a rollback and the cleanup can't race: once recorded, the target is protected."""
    first, image = await deployed(harness, engine, "a")
    for content in ("b", "c"):
        await deployed(harness, engine, content)
    await stopped(harness, first)
    operation_id = await harness.switch(OperationKind.ROLLBACK, first, dispatch=False)
    await sweep(harness.later(ms=2 * HOUR_MS).deps)
    assert await engine.has(image)
    await harness.dispatch_switch(operation_id)
    assert (await harness.done(operation_id)).error_code is None
    assert await harness.live() == first


async def test_a_deploy_under_way_keeps_what_was_built(harness: WorkerHarness, engine: EngineImages) -> None:
    """Promise: an image that is built but runs nowhere yet is not taken from under its deploy."""
    harness.region.behavior.by_default = "starting"
    image_ref = await engine.add()
    harness.builder.outcome = lambda _: image_ref
    deployment_id = await harness.deploy(branch="a")
    await harness.reaches(deployment_id, Status.DEPLOYING)
    await sweep(harness.later(ms=2 * HOUR_MS).deps)
    assert await engine.has(image_ref)
    await harness.cancel(deployment_id)
    await harness.ended(deployment_id, Status.CANCELLED)
    await harness.in_run_state(deployment_id, RunState.STOPPED)
    await sweep(harness.later(ms=2 * HOUR_MS).deps)
    assert not await engine.has(image_ref)


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
        await sweep(harness.deps)
    found = {word for word, path in paths.items() if await store.head(path) is not None}
    assert found == {"needed", "fresh", "left over"}, "what has no row yet may be an upload under way"
    await sweep(harness.later(ms=2 * HOUR_MS).deps)
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
    await sweep(harness.deps)
    left = await harness.deps.db.read(lambda c: c.execute(select(idempotency_keys.c.key)).scalars().all())
    assert left == ["new"]
    left = await harness.deps.db.read(lambda c: c.execute(select(audit_log.c.request_id)).scalars().all())
    assert left == ["new"]


async def test_one_that_fails_does_not_stop_the_others(harness: WorkerHarness, tmp_path: Path) -> None:
    """Promise: an engine that is away leaves the other tasks, and the rows that name images, alone."""
    deployment_id = await harness.deploy(branch="a")
    await harness.ended(deployment_id, Status.READY)
    path = (await harness.built((await harness.deployment(deployment_id)).build_id)).build_context_path
    await harness.deps.db.write(lambda c: c.execute(update(contexts).values(expires_at=1)))
    await sweep(replace(harness.deps, images=DockerImages(tmp_path / "no.sock")))
    assert await harness.deps.store.head(path) is None
    assert await harness.deps.db.read(lambda c: c.execute(select(deployments.c.image_ref)).scalar_one()) != ""
