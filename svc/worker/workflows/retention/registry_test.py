"""Images of builds in a real registry are deleted once the api has given them up, and nothing else is."""

import logging
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus, RecordedImage
from pkg.clock import now_ms
from pkg.config import Secret
from pkg.db import Database, create_engine, migrate
from pkg.ids import new_id
from pkg.images import ImageRef, build_image
from pkg.intents import BuildIntent, record_build
from pkg.registry import RegistryConfig, RegistryError
from pkg.registry.client import repository_of
from pkg.registry.testing import PULLER, DockerRegistry, put_image
from pkg.registry.testing_front import FaultyFront, faulty_front, refusal
from pkg.retention.queries import give_up_in_registry
from pkg.retention.rules import FRESH_MS
from pkg.testing.sample_project import SampleProject, add_sample_project, record_deploy
from svc.worker.workflows.retention.registry import RegistryCleanup

OLD_MS = 2 * FRESH_MS


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "control.db"
    engine = create_engine(f"sqlite:///{path}")
    migrate.upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="module")
def docker_registry() -> Iterator[DockerRegistry]:
    with DockerRegistry(login="token", tls=True) as one:
        yield one


@dataclass
class Project:
    """A project with builds in a registry."""

    db: Database
    sample: SampleProject
    registry: DockerRegistry
    config: RegistryConfig

    @property
    def repository(self) -> ImageRef:
        return build_image(self.sample.project_id, "", self.config.url)

    async def build(self, layer: str, *, age_ms: int = OLD_MS, given_up: bool = True, ended: bool = True) -> str:
        """A build that has pushed this layer, and whose row names its image unless it was given up; its tag."""
        build_id, sample = new_id("bld"), self.sample
        tag = build_image(sample.project_id, build_id).tag
        image = await self.put(tag, layer)
        at = now_ms() - age_ms

        def record(c: Connection) -> None:
            record_build(
                c, build_id=build_id, workspace_id=sample.workspace_id, project_id=sample.project_id,
                deployment_id=None, intent=BuildIntent("contexts/x.tar.gz", "Dockerfile"), traceparent="", now=at,
            )  # fmt: skip
            if ended:
                recorded = RecordedImage("" if given_up else image, f"{self.repository}:{tag}", "linux/amd64")
                builds.finish(c, build_id, BuildStatus.SUCCEEDED, at, image=recorded)

        await self.db.write(record)
        return tag

    async def put(self, tag: str, layer: str) -> str:
        """Pushes an image of this layer under a tag; by its digest."""
        async with self.registry.client() as client:
            put = await put_image(client, repository_of(self.repository), tag, layer.encode())
        return f"{self.repository}@{put.digest}"

    async def tags(self) -> set[str]:
        async with self.registry.client() as client:
            return set(await client.tags(repository_of(self.repository)))

    def cleanup(self, config: RegistryConfig | None = None) -> RegistryCleanup:
        return RegistryCleanup(self.db, now_ms, config or self.config)


async def opened(registry: DockerRegistry, migrated: Path, file: Path, path: str) -> Project:
    shutil.copy(migrated, file)
    db = Database.open(f"sqlite:///{file}")
    return Project(db, await db.write(add_sample_project), registry, registry.config(path))


@pytest.fixture
async def project(migrated: Path, tmp_path: Path, docker_registry: DockerRegistry) -> AsyncIterator[Project]:
    one = await opened(docker_registry, migrated, tmp_path / "control.db", new_id("proj").replace("_", "-"))
    yield one
    await one.db.close()


async def test_what_was_given_up_is_deleted(project: Project) -> None:
    """Promise: with a login, a token server and TLS, old images that no row names go; those that a row names, of the
    last hour, of other tags and the cache stay, and so does every digest that one of them shares."""
    gone = [await project.build("one"), await project.build("two"), await project.build("two")]
    stays = [
        await project.build("three", given_up=False),
        await project.build("three"),
        await project.build("four", age_ms=FRESH_MS // 2),
        await project.build("four"),
        await project.build("cached"),
        await project.build("own"),
    ]
    await project.put("cache", "cached")
    await project.put("mine", "own")
    assert await project.tags() == {*gone, *stays, "cache", "mine"}
    cleanup = project.cleanup()
    assert await cleanup.clean() == 2
    assert await project.tags() == {*stays, "cache", "mine"}
    assert await cleanup.clean() == 0


async def test_the_api_decides_and_the_worker_deletes(project: Project) -> None:
    """Promise: a build that is old and not among the newest of its project is given up by its row, then deleted."""
    old = await project.build("old", age_ms=20 * FRESH_MS, given_up=False)
    newest = [await project.build(f"new{n}", given_up=False) for n in range(10)]
    assert await project.cleanup().clean() == 0, "nobody has decided yet"
    url = project.config.url
    assert await project.db.write(lambda c: give_up_in_registry(c, url, per_environment=1, now=now_ms())) == 1
    assert await project.cleanup().clean() == 1
    assert await project.tags() == set(newest)
    assert old not in newest


async def test_nothing_is_deleted_while_a_build_may_push(project: Project) -> None:
    """Promise: a build under way, which may push the same content at any time, holds up the deletion in its project."""
    await project.build("one")
    deployment = await project.db.write(lambda c: record_deploy(c, project.sample))
    assert await project.cleanup().clean() == 0
    await project.db.write(builds.finish, deployment.build_id or "", BuildStatus.FAILED, now_ms())
    assert await project.cleanup().clean() == 1


async def test_an_image_that_a_deployment_names_stays(project: Project) -> None:
    """Promise: a digest of the own repository that a user deployed by hand is not deleted under it."""
    tag = await project.build("one")
    async with project.registry.client() as client:
        digest = await client.head(repository_of(project.repository), tag)
    await project.db.write(lambda c: record_deploy(c, project.sample, image=f"{project.repository}@{digest}"))
    assert await project.cleanup().clean() == 0


async def test_a_registry_that_refuses_is_told_of_once(
    project: Project, migrated: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Promise: where deletion is off, or the account may not delete, one line says what to do, not one for each pass;
    once it is allowed the next pass deletes."""
    caplog.set_level(logging.WARNING)
    await project.build("one")
    puller = RegistryConfig(
        url=project.config.url, username=PULLER.username, password=PULLER.password, ca_file=project.config.ca_file
    )
    with DockerRegistry(deletes=False) as no_deletes:
        other = await opened(no_deletes, migrated, tmp_path / "other.db", "apps")
        await other.build("one")
        for cleanup, word in ((project.cleanup(puller), "403"), (other.cleanup(), "405")):
            caplog.clear()
            for _ in range(3):
                assert await cleanup.clean() == 0
            assert [word in record.getMessage() for record in caplog.records] == [True]
            assert "secret" not in caplog.text
        await other.db.close()
    assert await project.cleanup().clean() == 1


async def test_a_registry_that_is_away_is_tried_again(migrated: Path, tmp_path: Path) -> None:
    """Promise: a fault in the middle of a pass, a lost answer and an absence delete nothing twice and nothing wrong;
    the next pass does what is left."""
    with DockerRegistry() as registry:
        project = await opened(registry, migrated, tmp_path / "control.db", "apps")
        for layer in ("one", "two"):
            await project.build(layer)
        kept = await project.build("three", given_up=False)
        async with faulty_front(registry.host) as front:
            config = RegistryConfig(url=f"{front.host}/apps", password=Secret("x"))
            front.fault = after_one_delete(front)
            cleanup = project.cleanup(config)
            with pytest.raises(RegistryError):
                await cleanup.clean()
            assert len(await project.tags()) == 2
            front.fault = lambda method, path: None
            assert await cleanup.clean() == 1
            assert await project.tags() == {kept}
        with pytest.raises(RegistryError):
            await cleanup.clean()
        await project.db.close()


def after_one_delete(front: FaultyFront):  # type: ignore[no-untyped-def]  # as `FaultyFront.fault`
    """Lets one deletion through."""

    def fault(method: str, path: str) -> web.Response | None:
        deletes = sum(one == "DELETE" for one, _ in front.requests)
        return refusal(503, "UNAVAILABLE", "its words") if method == "DELETE" and deletes > 1 else None

    return fault


async def test_many_projects_are_taken_in_turn(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: one pass looks at a bounded number of repositories, and every project has its turn."""
    monkeypatch.setattr("svc.worker.workflows.retention.registry.REPOSITORIES_A_PASS", 1)
    first = project.sample
    project.sample = await project.db.write(lambda c: add_sample_project(c, "second"))
    tags = [await project.build("one")]
    second = project.sample
    project.sample = first
    tags.append(await project.build("one"))
    cleanup = project.cleanup()
    assert [await cleanup.clean() for _ in range(3)].count(1) == 2
    for sample in (first, second):
        project.sample = sample
        assert await project.tags() == set()
    assert len(tags) == 2
