"""Promise: slugs are taken once in a workspace, pages continue, and one caller at a time makes the project at Depot."""

import dataclasses

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from pkg.db import Database
from pkg.projects import queries
from pkg.projects.model import Project
from pkg.testing.sample_project import add_sample_project


async def test_a_slug_is_taken_once(db: Database) -> None:
    """Two projects of a workspace never share a hostname."""
    sample = await db.write(add_sample_project)
    known = await db.read(queries.by_slug, sample.workspace_id, "hello")
    assert known is not None
    with pytest.raises(IntegrityError):
        await db.write(queries.add, dataclasses.replace(known, id="proj_other"))
    assert await db.read(queries.get, known.id, workspace_id="ws_other") is None


async def test_pages_are_in_the_order_of_slugs(db: Database) -> None:
    """Nothing is left out or listed twice, however the database sorts text."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        slugs = {"hello", "a", "a-b", "ab", "a1", "b"}
        for slug in slugs - {"hello"}:
            queries.add(c, Project(f"proj_{slug}", sample.workspace_id, slug, slug, 1, 1))
        listed: list[str] = []
        while found := queries.page(c, sample.workspace_id, after_slug=listed[-1] if listed else "", limit=2):
            listed += [project.slug for project in found]
        assert sorted(listed) == sorted(slugs)
        queries.rename(c, "proj_a", "New", 7)
        renamed = queries.get(c, "proj_a", workspace_id=sample.workspace_id)
        assert renamed is not None
        assert (renamed.name, renamed.updated_at) == ("New", 7)

    await db.write(run)


async def test_one_caller_makes_the_project_at_depot(db: Database) -> None:
    """A claim holds until it is released or has run out; what is stored first stays."""
    project_id = (await db.write(add_sample_project)).project_id

    async def claim(now: int) -> bool:
        return await db.write(queries.claim_depot_project, project_id, now, lasts_ms=100)

    assert [await claim(1000), await claim(1099), await claim(1100)] == [True, False, True]
    await db.write(queries.release_depot_claim, project_id, 1000)
    assert not await claim(1101)
    await db.write(queries.release_depot_claim, project_id, 1100)
    assert await claim(1102)
    assert await db.write(queries.store_depot_project, project_id, "first") == "first"
    assert await db.write(queries.store_depot_project, project_id, "second") == "first"
    assert not await claim(9999)
    await db.write(queries.forget_depot_project, project_id, "second")
    assert not await claim(9999)
    await db.write(queries.forget_depot_project, project_id, "first")
    assert await claim(9999)
