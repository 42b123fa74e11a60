"""Promise: what is being deleted takes no new intents, what was deleted is not listed, and a deletion ends once."""

import pytest
from sqlalchemy import Connection, update

from pkg.builds import queries as builds
from pkg.builds.tables import builds as build_rows
from pkg.db import Database
from pkg.deletions import queries
from pkg.deletions.gates import check_not_deleting
from pkg.deletions.model import Deletion, DeletionKind, DeletionStatus, DeletionStep
from pkg.deployments import queries as deployments
from pkg.deployments.tables import deployments as deployment_rows
from pkg.environments import queries as environments
from pkg.environments.tables import environments as environment_rows
from pkg.errors import FailedPrecondition
from pkg.ids import new_id
from pkg.projects import queries as projects
from pkg.projects.tables import projects as project_rows
from pkg.testing.sample_project import (
    SampleProject,
    add_sample_project,
    deployment_of,
    environment_of,
    ready_deployment,
    record_deploy,
)


def add_deletion(
    connection: Connection, sample: SampleProject, kind: DeletionKind, deployment_id: str = ""
) -> Deletion:
    """A recorded deletion of the sample's project, its preview environment, or a deployment, with its marks."""
    deletion_id = new_id("del")
    is_whole = kind is DeletionKind.PROJECT
    queries.add(
        connection,
        {
            "id": deletion_id,
            "workspace_id": sample.workspace_id,
            "kind": kind,
            "project_id": sample.project_id,
            "project_slug": "hello",
            "environment_id": "" if is_whole else sample.preview_id,
            "environment_slug": "" if is_whole else "preview",
            "deployment_id": deployment_id,
            "seq": 0,
            "traceparent": "",
            "created_at": 1,
        },
    )
    added = queries.get(connection, deletion_id)
    assert added is not None
    queries.mark(connection, added)
    return added


async def test_a_deletion_marks_what_belongs_to_it(db: Database) -> None:
    """An environment's marks its deployments and nothing beside it; the earlier deletion of a part keeps its mark."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two = (ready_deployment(c, sample, environment_id=sample.preview_id) for _ in range(2))
        other = ready_deployment(c, sample)
        first = add_deletion(c, sample, DeletionKind.DEPLOYMENT, one.id)
        second = add_deletion(c, sample, DeletionKind.ENVIRONMENT)
        third = add_deletion(c, sample, DeletionKind.PROJECT)
        marked = [deployment_of(c, found.id).deletion_id for found in (one, two, other)]
        assert marked == [first.id, second.id, third.id]
        assert environment_of(c, sample.preview_id).deletion_id == second.id
        assert environment_of(c, sample.production_id).deletion_id == third.id
        project = projects.get(c, sample.project_id)
        assert project is not None
        assert project.deletion_id == third.id
        under_way = [found.id for found in queries.active(c, project_id=sample.project_id)]
        assert under_way == [first.id, second.id, third.id]
        with pytest.raises(FailedPrecondition, match="Environment 'preview' of project 'hello' is being") as refused:
            check_not_deleting(c, second.id)
        assert refused.value.code == "environment.deleting"
        check_not_deleting(c, None)

    await db.write(run)


async def test_a_deletion_ends_once(db: Database) -> None:
    """What comes after its end changes nothing; one that fails gives back what it has not deleted."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        made = ready_deployment(c, sample, environment_id=sample.preview_id)
        found = add_deletion(c, sample, DeletionKind.ENVIRONMENT)
        assert queries.begin(c, found.id)
        assert not queries.begin(c, found.id)
        queries.note_progress(c, found.id, DeletionStep.ROUTES, "region local")
        assert queries.skip_regions(c, found.id)
        assert not queries.skip_regions(c, found.id)
        for _ in range(2):
            queries.add_notice(c, found.id, "region local did not confirm")
        assert queries.end(c, found.id, DeletionStatus.FAILED, 9, error_code="a.b", error_message="lost")
        assert not queries.end(c, found.id, DeletionStatus.DONE, 10)
        queries.note_progress(c, found.id, DeletionStep.RECORDS)
        ended = queries.get(c, found.id, workspace_id=sample.workspace_id)
        assert ended is not None
        assert (ended.status, ended.step, ended.waits_for) == (DeletionStatus.FAILED, DeletionStep.ROUTES, "")
        assert ended.notices_json == ["region local did not confirm"]
        assert queries.active(c) == []
        assert queries.get(c, found.id, workspace_id="ws_other") is None
        assert environment_of(c, sample.preview_id).deletion_id is None
        assert deployment_of(c, made.id).deletion_id is None

    await db.write(run)


async def test_what_was_deleted_is_not_listed(db: Database) -> None:
    """Its row stays, but no list has it, and a region that reports it is told nothing of it."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        gone, kept = (record_deploy(c, sample, environment_id=sample.preview_id) for _ in range(2))
        for table, some_id in (
            (deployment_rows, gone.id),
            (build_rows, gone.build_id),
            (environment_rows, sample.preview_id),
        ):
            c.execute(update(table).where(table.c.id == some_id).values(deleted_at=5))
        assert [found.id for found in deployments.page(c, sample.project_id)] == [kept.id]
        assert [found.id for found in builds.page(c, sample.project_id)] == [kept.build_id]
        assert [found.id for found in environments.of_project(c, sample.project_id)] == [sample.production_id]
        assert deployments.existing(c, [gone.id, kept.id]) == {kept.id}
        assert deployments.places(c, [gone.id, kept.id]).keys() == {kept.id}
        c.execute(update(project_rows).values(deleted_at=5))
        assert projects.page(c, sample.workspace_id) == []

    await db.write(run)
