"""Each project has one project at Depot, whoever asks at once and wherever a worker crashes."""

import asyncio
import logging

import grpc
import pytest

from pkg.builds.failures import BuilderUnavailable, BuildFailed
from pkg.clock import now_ms
from pkg.config import Secret
from pkg.db import Database
from pkg.depot import projects as depot_projects
from pkg.depot.api import open_api
from pkg.depot.projects import CLAIM_MS, DepotProjects, name_of
from pkg.depot.testing import DepotDouble
from pkg.projects import queries
from pkg.projects.model import Project
from pkg.testing.sample_project import add_sample_project


@pytest.fixture
async def project(db: Database) -> Project:
    sample = await db.write(add_sample_project)
    found = await db.read(queries.get, sample.project_id)
    assert found is not None
    return found


async def ensure(db: Database, depot: DepotDouble, project: Project) -> str:
    """As one worker does."""
    async with open_api(depot.config()) as api:
        return await DepotProjects(db).ensure(api, project.id)


async def test_several_workers_make_one(db: Database, depot: DepotDouble, project: Project) -> None:
    """Promise: builds of a new project at once make one project at Depot, and all build in it."""
    depot.create_s = 0.2
    ids = await asyncio.gather(*(ensure(db, depot, project) for _ in range(4)))
    assert set(ids) == set(depot.projects)
    assert await ensure(db, depot, project) == ids[0]
    assert (depot.calls["CreateProject"], depot.calls["ListProjects"]) == (1, 1)


async def test_a_crash_between_creation_and_storing_makes_no_second_one(
    db: Database, depot: DepotDouble, project: Project
) -> None:
    """Promise: the next build finds by its name what the crashed worker has made, once its claim has run out."""
    made = depot.add_project(name_of(project))
    depot.add_project("sealift-of-another-project")
    await db.write(queries.claim_depot_project, project.id, now_ms() - CLAIM_MS, lasts_ms=CLAIM_MS)
    assert await ensure(db, depot, project) == made
    assert depot.calls["CreateProject"] == 0


async def test_of_several_with_the_name_the_oldest_is_used(
    db: Database, depot: DepotDouble, project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    """Promise: none is deleted; the operator reads which ones are not used."""
    ids = [depot.add_project(name_of(project)) for _ in range(3)]
    for number, depot_id in enumerate(ids):
        depot.projects[depot_id].created_at.FromSeconds(3 - number)
    with caplog.at_level(logging.WARNING):
        assert await ensure(db, depot, project) == ids[2]
    assert "several projects at Depot are named" in caplog.text
    assert len(depot.projects) == 3


async def test_a_lost_answer_makes_no_second_one(
    db: Database, depot: DepotDouble, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: when Depot is away during the creation, the project is looked for before another call makes one."""
    monkeypatch.setattr(depot_projects, "AGAIN_AFTER_S", 0.01)
    depot.faults["CreateProject"] = [grpc.StatusCode.UNAVAILABLE]
    made = await ensure(db, depot, project)
    assert (set(depot.projects), depot.calls["ListProjects"], depot.calls["CreateProject"]) == ({made}, 2, 2)


async def test_a_failed_creation_lets_the_next_build_try(db: Database, depot: DepotDouble, project: Project) -> None:
    """Promise: an error does not leave a claim behind, and each builder's own error comes out."""
    depot.faults["CreateProject"] = [grpc.StatusCode.RESOURCE_EXHAUSTED]
    with pytest.raises(BuildFailed, match=r"build\.builder_quota"):
        await ensure(db, depot, project)
    async with open_api(depot.config(access_token=Secret("wrong"))) as api:
        with pytest.raises(BuildFailed, match=r"build\.builder_auth"):
            await DepotProjects(db).ensure(api, project.id)
    assert await ensure(db, depot, project) in depot.projects


async def test_a_cancelled_creation_lets_the_next_build_find_it(
    db: Database, depot: DepotDouble, project: Project
) -> None:
    """Promise: a cancel while Depot makes the project costs nobody a wait for the claim."""
    depot.create_s = 0.3
    cancelled = asyncio.create_task(ensure(db, depot, project))
    await depot.called["CreateProject"].wait()
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert await ensure(db, depot, project) in depot.projects


async def test_the_wait_for_another_worker_is_bounded(
    db: Database, depot: DepotDouble, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: a claim that does not end makes the builder unavailable, which leads to another attempt."""
    monkeypatch.setattr(depot_projects, "WAIT_TIMEOUT_S", 0.3)
    await db.write(queries.claim_depot_project, project.id, now_ms(), lasts_ms=CLAIM_MS)
    with pytest.raises(BuilderUnavailable, match="was not made in time"):
        await ensure(db, depot, project)


async def test_a_project_that_depot_does_not_know_is_replaced(
    db: Database, depot: DepotDouble, project: Project
) -> None:
    """Promise: after `forget`, another one is made; forgetting an id that is not stored changes nothing."""
    first = await ensure(db, depot, project)
    del depot.projects[first]
    await DepotProjects(db).forget(project.id, "other")
    assert await ensure(db, depot, project) == first
    await DepotProjects(db).forget(project.id, first)
    assert await ensure(db, depot, project) in depot.projects
