"""Fixtures: a store that an engine can read from, a name for an image, and a way to build into it."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pkg.builders.docker.backend import DockerBuilder
from pkg.builders.docker.testing import Build
from pkg.builders.port import BuildSpec, BuiltImage
from pkg.builders.testing import MemorySink, context, context_at, engine_socket, nonce
from pkg.ids import new_id
from pkg.images import ImageRef, build_image
from pkg.storage.disk import DiskStore
from pkg.storage.disk.testing import served
from pkg.storage.testing import put


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    async with served(tmp_path / "objects") as disk:
        yield disk


@pytest.fixture
async def image_name() -> AsyncIterator[ImageRef]:
    name = build_image(new_id("proj"), new_id("bld"))
    yield name
    connector = aiohttp.UnixConnector(path=str(engine_socket()))
    async with aiohttp.ClientSession("http://docker", connector=connector) as http:
        # by label: an image loses its name when another one takes it
        filters = json.dumps({"label": [f"sealift.test={name}"]})
        async with http.get("/images/json", params={"filters": filters}) as response:
            ids = [image["Id"] for image in await response.json()]
        for image_id in ids:
            async with http.delete(f"/images/{image_id}", params={"force": "1"}):
                pass


@pytest.fixture
def build(store: DiskStore, image_name: ImageRef) -> Build:
    """Packs the files, uploads them, builds. Keywords go into the spec."""

    async def run(
        files: Mapping[str, bytes | str] | bytes, sink: MemorySink | None = None, **fields: Any
    ) -> BuiltImage:
        archive = files if isinstance(files, bytes) else context(files)
        path = f"contexts/proj_a/{nonce()}.tar.gz"
        await put(store, path, archive)
        given: dict[str, Any] = {
            "image_name": image_name,
            "sign_context_url": context_at(store.presign_get(path, ttl_s=60)),
        } | fields
        given |= {"labels": {"sealift.test": str(image_name)} | given.get("labels", {})}
        given.setdefault("timeout_s", 90)
        spec = BuildSpec(project_id="proj_a", build_id="bld_test", attempt=1, **given)
        return await DockerBuilder(engine_socket()).build(spec, sink or MemorySink())

    return run
