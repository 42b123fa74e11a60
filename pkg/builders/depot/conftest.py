"""Fixtures: Depot in front of a modern BuildKit, a registry that it pushes to, and a way to build."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from pkg.builders.depot.backend import DepotBuilder
from pkg.builders.docker.testing import Build
from pkg.builders.port import BuildSpec, BuiltImage
from pkg.builders.testing import SHELL, MemorySink, context, context_at, nonce
from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.clock import now_ms
from pkg.db import Database
from pkg.db.testing import fresh_database
from pkg.depot.projects import DepotProjects
from pkg.depot.testing import FAST, DepotDouble, depot_double
from pkg.ids import new_id
from pkg.images import ImageRef, build_image
from pkg.projects import queries as projects
from pkg.projects.model import Project
from pkg.registry.testing import DockerRegistry
from pkg.storage.disk import DiskStore
from pkg.storage.disk.testing import served
from pkg.storage.testing import put
from pkg.workspaces import queries as workspaces

PROJECT_ID = "proj_a"
OTHER_PROJECT_ID = "proj_b"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    async with served(tmp_path / "objects") as disk:
        yield disk


@pytest.fixture(scope="session")
def registry() -> Iterator[DockerRegistry]:
    """It wants tokens, which its token server gives to those who log in."""
    with DockerRegistry(login="token") as opened:
        yield opened


@pytest.fixture
async def depot(buildkit_daemon: BuildkitDaemon) -> AsyncIterator[DepotDouble]:
    """Depot, whose machines have the modern BuildKit."""
    async with depot_double(buildkit_daemon.socket) as double:
        yield double


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    """With the project PROJECT_ID, and another one."""

    def write(connection: Connection) -> None:
        workspace_id = workspaces.ensure_default(connection, now_ms())
        for project_id in (PROJECT_ID, OTHER_PROJECT_ID):
            slug = project_id.removeprefix("proj_")
            projects.add(connection, Project(project_id, workspace_id, slug, slug.title(), 1, 1))

    database = fresh_database(tmp_path)
    await database.write(write)
    yield database
    await database.close()


@pytest.fixture
async def builder(depot: DepotDouble, registry: DockerRegistry, db: Database) -> AsyncIterator[DepotBuilder]:
    """Without SBOMs: there is no scanner to pull."""
    made = DepotBuilder(depot.config(), registry.config(), DepotProjects(db), sbom_scanner="", timing=FAST)
    yield made
    await made.close()


@pytest.fixture
def image_name(registry: DockerRegistry) -> ImageRef:
    return build_image(new_id("proj"), new_id("bld"), registry.config().url)


@pytest.fixture
def build(builder: DepotBuilder, store: DiskStore, image_name: ImageRef) -> Build:
    """Builds these Dockerfile lines, on top of a shell. Keywords go into the spec; `using` is another builder."""

    async def run(
        lines: str, sink: MemorySink | None = None, *, using: DepotBuilder | None = None, **fields: Any
    ) -> BuiltImage:
        path = f"contexts/{PROJECT_ID}/{nonce()}.tar.gz"
        await put(store, path, context({"Dockerfile": SHELL + lines}))
        given: dict[str, Any] = {
            "project_id": PROJECT_ID, "build_id": "bld_a", "attempt": 1, "image_name": image_name, "timeout_s": 60,
            "sign_context_url": context_at(store.presign_get(path, ttl_s=60)),
        }  # fmt: skip
        return await (using or builder).build(BuildSpec(**(given | fields)), sink or MemorySink())

    return run
