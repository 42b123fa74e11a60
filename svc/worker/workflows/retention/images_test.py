"""Which images of deployments that workflows made are unused: a real database, a real engine.

`clean` is what the api (`take_unused`) and krane do together.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import update

from pkg.builders.docker.testing import EngineImages, engine_images
from pkg.builders.testing import engine_socket
from pkg.deployments.status import RunState, Status
from pkg.docker.images import DockerImages
from pkg.errors import FailedPrecondition
from pkg.images import ImageRef, build_image
from pkg.installation import queries
from pkg.installation.tables import installation
from pkg.operations.model import OperationKind
from pkg.restate.testing import RestateServer
from pkg.retention.queries import take_unused
from pkg.workflows.deploy import DEPLOY
from svc.worker.testing.harness import WorkerHarness, tarball, worker_harness

HOUR_MS = 3_600_000


@pytest.fixture
async def engine() -> AsyncIterator[EngineImages]:
    async with engine_images() as images:
        yield images


@pytest.fixture
async def harness(restate_server: RestateServer, tmp_path: Path, engine: EngineImages) -> AsyncIterator[WorkerHarness]:
    """A harness of the installation whose images these are."""
    async with worker_harness(restate_server, tmp_path) as one:
        same = update(installation).values(installation_id=engine.installation_id)
        await one.deps.db.write(lambda connection: connection.execute(same))
        yield one


async def clean(harness: WorkerHarness) -> None:
    """One pass that keeps the image of one ready deployment of each environment."""
    this = await harness.deps.db.read(queries.get)
    assert this is not None
    on_engine = DockerImages(engine_socket())
    images = await on_engine.list_images(this.installation_id)
    now = harness.deps.clock()
    unneeded = await harness.deps.db.write(lambda c: take_unused(c, images, per_environment=1, now=now))
    for image in unneeded:
        assert await on_engine.delete_image(image)


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
    """What time does to a deployment on standby."""
    await harness.done(await harness.stop(deployment_id))
    await harness.in_run_state(deployment_id, RunState.STOPPED)


async def test_the_oldest_image_goes_and_rollback_targets_stay(harness: WorkerHarness, engine: EngineImages) -> None:
    """Promise: disk use is bounded; what is live, warm, or where a rollback goes is protected."""
    first, first_image = await deployed(harness, engine, "a")
    second, second_image = await deployed(harness, engine, "b")
    _, third_image = await deployed(harness, engine, "c")
    await clean(harness)
    # all three still run
    assert [await engine.has(image) for image in (first_image, second_image, third_image)] == [True, True, True]
    await stopped(harness, first)
    await stopped(harness, second)
    async with engine_images() as others:
        theirs = await others.add()
        await clean(harness.later(ms=2 * HOUR_MS))
        assert await others.has(theirs)
    assert [await engine.has(image) for image in (first_image, second_image, third_image)] == [False, True, True]
    assert (await harness.deployment(first)).image_ref == ""
    assert (await harness.built((await harness.deployment(first)).build_id)).image_ref == ""
    assert (await harness.deployment(second)).image_ref == str(second_image)
    with pytest.raises(FailedPrecondition, match=r"deployment\.image_gone"):
        await harness.switch(OperationKind.ROLLBACK, first)
    assert (await harness.done(await harness.switch(OperationKind.ROLLBACK))).deployment_id == second
    assert await harness.live() == second


async def test_a_switch_that_was_recorded_first_keeps_its_image(harness: WorkerHarness, engine: EngineImages) -> None:
    """Promise: a rollback and the cleanup can't cross: from its record on, the target is protected."""
    first, image = await deployed(harness, engine, "a")
    for content in ("b", "c"):
        await deployed(harness, engine, content)
    await stopped(harness, first)
    operation_id = await harness.switch(OperationKind.ROLLBACK, first, dispatch=False)
    await clean(harness.later(ms=2 * HOUR_MS))
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
    await clean(harness.later(ms=2 * HOUR_MS))
    assert await engine.has(image_ref)
    await harness.cancel(deployment_id)
    await harness.ended(deployment_id, Status.CANCELLED)
    await harness.in_run_state(deployment_id, RunState.STOPPED)
    await clean(harness.later(ms=2 * HOUR_MS))
    assert not await engine.has(image_ref)
