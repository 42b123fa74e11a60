"""Promise: a workspace keeps its number of build slots unless the operator names another for it."""

from sqlalchemy import Connection

from pkg.db import Database
from pkg.workspaces import queries
from pkg.workspaces.tables import workspaces


async def test_a_start_resets_no_build_slots(db: Database) -> None:
    """A new workspace gets the default or what is set, an existing one changes only if something is set."""

    def run(c: Connection) -> None:
        default = queries.ensure_default(c, 1)
        assert queries.slug_of(c, default) == queries.DEFAULT_SLUG
        assert queries.build_slots(c, default) == queries.DEFAULT_BUILD_SLOTS
        queries.set_build_slots(c, default, 5)
        assert queries.ensure_default(c, 2) == default
        assert queries.build_slots(c, default) == 5
        assert queries.ensure_default(c, 3, build_slots=3) == queries.default_id(c) == default
        assert queries.build_slots(c, default) == 3

    await db.write(run)


async def test_what_is_set_concerns_the_default_workspace_only(db: Database) -> None:
    """Another workspace has a number of its own."""

    def run(c: Connection) -> None:
        default = queries.ensure_default(c, 1, build_slots=4)
        assert not queries.are_several(c)
        c.execute(workspaces.insert().values(id="ws_other", slug="other", build_slots=1, created_at=1))
        assert queries.are_several(c)
        queries.ensure_default(c, 2, build_slots=8)
        assert (queries.build_slots(c, default), queries.build_slots(c, "ws_other")) == (8, 1)

    await db.write(run)
