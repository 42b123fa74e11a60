"""What a deploy promises, on a real Restate and a real database."""

from pkg.builds.status import BuildStatus
from pkg.deployments import queries as deployments
from pkg.deployments.status import RunState, Status
from svc.worker.testing.world import World


async def test_an_upload_becomes_live(here: World) -> None:
    """The happy path: built, started, routed, ready; every step has its times; the build's image is what runs."""
    deployment_id = await here.deploy()
    ended = await here.ended(deployment_id, Status.READY)
    assert ended.run_state is RunState.RUNNING
    build = await here.built(ended.build_id)
    assert build.status is BuildStatus.SUCCEEDED
    assert (ended.image_ref, ended.image_region) == (build.image_ref, "local")
    assert await here.live() == deployment_id
    steps = await here.parts.db.read(deployments.steps, deployment_id)
    assert [s.name for s in steps] == ["queued", "building", "deploying", "network", "finalizing"]
    assert all(s.ended_at is not None and s.error is None for s in steps)
    assert len(here.builder.specs) == 1


async def test_an_image_becomes_live_and_is_pinned(here: World) -> None:
    """An image takes no slot and no build; what ran is what a rollback will run, whatever its tag says later."""
    deployment_id = await here.deploy(image="registry.test/app:latest")
    ended = await here.ended(deployment_id, Status.READY)
    assert (ended.image_ref, ended.image_region) == ("engine:sha256:pulled", "local")
    assert here.builder.specs == []
