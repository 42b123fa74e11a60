"""Promise: intents of an environment have consecutive numbers; variables are replaced, never doubled."""

from sqlalchemy import Connection

from pkg.db import Database
from pkg.environments import queries
from pkg.environments.model import Variable
from pkg.testing.sample_project import add_sample_project, environment_of


async def test_numbers_are_consecutive(db: Database) -> None:
    """Each intent takes the next one."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        assert [queries.take_seq(c, sample.production_id) for _ in range(3)] == [1, 2, 3]
        assert queries.take_seq(c, sample.preview_id) == 1

    await db.write(run)


async def test_variables_are_replaced_and_listed_by_name(db: Database) -> None:
    """Setting one again changes its value; unsetting it twice is fine."""

    def run(c: Connection) -> None:
        production = add_sample_project(c).production_id
        queries.set_variable(c, production, "B", b"1", 1)
        queries.set_variable(c, production, "A", b"\x00\xff", 1, is_plain=True)
        queries.set_variable(c, production, "B", b"2", 2)
        assert queries.variables(c, production) == [Variable("A", b"\x00\xff", True, 1), Variable("B", b"2", False, 2)]
        for _ in range(2):
            queries.unset_variable(c, production, "A")
        assert [v.name for v in queries.variables(c, production)] == ["B"]

    await db.write(run)


async def test_an_environment_is_found_in_its_workspace_only(db: Database) -> None:
    """By id, by slug, and production first in a list."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        assert queries.get(c, sample.production_id, workspace_id="ws_other") is None
        assert queries.get(c, sample.production_id, workspace_id=sample.workspace_id) is not None
        found = queries.by_slug(c, sample.project_id, "preview")
        assert found is not None
        assert found.id == sample.preview_id
        assert [e.slug for e in queries.of_project(c, sample.project_id)] == ["production", "preview"]
        queries.set_settings(c, found.id, {"replicas": 2}, 5)
        queries.set_rolled_back(c, found.id, True, 6)
        changed = environment_of(c, found.id)
        assert (changed.settings_json, changed.is_rolled_back, changed.updated_at) == ({"replicas": 2}, True, 6)

    await db.write(run)
