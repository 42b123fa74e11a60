"""Promise: versions follow commit order, without gaps, and a pruned cursor is recognised."""

import asyncio

import pytest
from sqlalchemy import Connection

from pkg.db import Database
from pkg.desired.capabilities import ROUTE, TOPOLOGY
from pkg.feed import queries
from pkg.testing.sample_project import add_sample_project


@pytest.fixture
async def db(db: Database) -> Database:
    """With a sample project."""
    await db.write(add_sample_project)
    return db


async def test_concurrent_changes_get_consecutive_versions(db: Database) -> None:
    other = Database.open(str(db.engine.url))

    def change(c: Connection) -> int:
        return queries.record(c, ROUTE, "a.example", 1)

    versions = await asyncio.gather(*(d.write(change) for d in (db, other) for _ in range(20)))
    assert sorted(versions) == list(range(1, 41))
    seen = await db.read(queries.after, "local", 0)
    assert [c.version for c in seen] == list(range(1, 41))
    await other.close()


async def test_a_region_sees_its_own_and_common_changes(db: Database) -> None:
    def run(c: Connection) -> None:
        queries.record(c, TOPOLOGY, "dep_a", 1, region="eu")
        queries.record(c, TOPOLOGY, "dep_a", 1, region="local")
        queries.record(c, ROUTE, "h", 1)

    await db.write(run)
    assert [c.version for c in await db.read(queries.after, "local", 0)] == [2, 3]


async def test_pruning_moves_the_low_mark(db: Database) -> None:
    def run(c: Connection) -> None:
        for at in (1, 2, 30):
            queries.record(c, ROUTE, "h", at)
        assert queries.prune(c, before=10) == 2
        assert queries.head(c).pruned_to == 2
        assert queries.prune(c, before=10) == 0

    await db.write(run)
