"""The api gives up images in the registry by itself."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus, RecordedImage
from pkg.clock import now_ms
from pkg.ids import new_id
from pkg.images import build_image
from pkg.intents import BuildIntent, record_build
from pkg.registry.config import RegistryAddress
from pkg.retention.rules import FRESH_MS, KEEP_OWN_BUILDS
from pkg.testing.sample_project import add_sample_project
from svc.api.testing import RecordingRestate, RunningApi, config_in, eventually, running_api

URL = "registry.test/apps"


async def test_images_in_the_registry_are_given_up(
    tmp_path: Path, restate: RecordingRestate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: without a region that reports anything, the row of an image that nothing needs is cleared, and no other
    row is."""
    monkeypatch.setattr("svc.api.run.GIVE_UP_EVERY_S", 0.05)
    config = replace(config_in(tmp_path, restate.url), registry=RegistryAddress(url=URL))
    async with running_api(config) as api:
        sample = await api.db.write(add_sample_project, "another")
        ids = [await built(api, sample.workspace_id, sample.project_id, n) for n in range(KEEP_OWN_BUILDS + 1)]

        async def cleared() -> list[str]:
            rows = [await api.db.read(builds.get, one) for one in ids]
            return [row.id for row in rows if row and not row.image_ref]

        async def is_one_cleared() -> bool:
            return bool(await cleared())

        await eventually(is_one_cleared, "the oldest is given up")
        assert await cleared() == ids[-1:]


async def built(api: RunningApi, workspace_id: str, project_id: str, age_h: int) -> str:
    """A build that has pushed an image so many hours ago, and two; its id."""
    build_id, at = new_id("bld"), now_ms() - (age_h + 2) * FRESH_MS
    name = build_image(project_id, build_id, URL)
    await api.db.write(
        lambda c: record_build(
            c, build_id=build_id, workspace_id=workspace_id, project_id=project_id, deployment_id=None,
            intent=BuildIntent("contexts/x.tar.gz", "Dockerfile"), traceparent="", now=at,
        )
    )  # fmt: skip
    image = RecordedImage(f"{name.repository}@sha256:{age_h:064x}", str(name), "linux/amd64")
    await api.db.write(builds.finish, build_id, BuildStatus.SUCCEEDED, at, image=image)
    return build_id
