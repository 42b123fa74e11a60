"""Promise: a deletion ends what is under way in its scope, and erases that and nothing else, on both databases."""

from sqlalchemy import Connection, insert, select, update

from pkg import intents
from pkg.builds import contexts
from pkg.builds.model import BuildStatus
from pkg.builds.tables import builds
from pkg.db import Database
from pkg.deletions import queries as deletions
from pkg.deletions.model import Deletion, DeletionStatus
from pkg.deployments import queries as deployments
from pkg.deployments.status import Status
from pkg.deployments.tables import deployments as deployment_rows
from pkg.domains import queries as domains
from pkg.domains.names import parse_domain
from pkg.environments import queries as environments
from pkg.environments.tables import environment_variables
from pkg.idempotency import queries as idempotency
from pkg.idempotency.tables import idempotency_keys
from pkg.operations.model import OperationKind, OperationStatus
from pkg.operations.tables import operations
from pkg.projects import queries as projects
from pkg.projects.model import Project
from pkg.regions import queries as regions
from pkg.routes import moves
from pkg.routes.tables import routes
from pkg.teardown import queries
from pkg.teardown.work import end_work
from pkg.testing.sample_project import (
    SampleProject,
    add_sample_project,
    deployment_of,
    environment_of,
    ready_deployment,
    record_deploy,
)
from pkg.workflows import outbox
from pkg.workflows.deploy import DEPLOY


def project_of(connection: Connection, project_id: str) -> Project:
    found = projects.get(connection, project_id)
    assert found is not None
    return found


def delete_environment(connection: Connection, sample: SampleProject) -> Deletion:
    """The recorded deletion of the sample's preview environment."""
    deletion_id, _ = intents.record_environment_deletion(
        connection, project=project_of(connection, sample.project_id),
        environment=environment_of(connection, sample.preview_id), traceparent="", now=9,
    )  # fmt: skip
    return deletion_of(connection, deletion_id)


def delete_project(connection: Connection, sample: SampleProject) -> Deletion:
    """The recorded deletion of the sample's project."""
    deletion_id, is_new = intents.record_project_deletion(
        connection, project=project_of(connection, sample.project_id), traceparent="", now=9
    )
    again = intents.record_project_deletion(
        connection, project=project_of(connection, sample.project_id), traceparent="", now=10
    )
    assert (is_new, again) == (True, (deletion_id, False))
    return deletion_of(connection, deletion_id)


def deletion_of(connection: Connection, deletion_id: str) -> Deletion:
    found = deletions.get(connection, deletion_id)
    assert found is not None
    return found


async def test_work_in_its_scope_ends(db: Database) -> None:
    """What Restate never had ends at once, the rest is asked to; what is beside it goes on."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        unsent, sent, beside = (
            record_deploy(c, sample, environment_id=place, branch=branch)
            for branch, place in (("a", sample.preview_id), ("b", sample.preview_id), ("c", sample.production_id))
        )
        dispatch = outbox.get(c, DEPLOY, sent.id)
        assert dispatch is not None
        outbox.mark_sent(c, dispatch.id, "inv_1", 2)
        target = ready_deployment(c, sample, environment_id=sample.preview_id, branch="d")
        operation_id = intents.record_switch(
            c, kind=OperationKind.PROMOTE, environment=environment_of(c, sample.preview_id), deployment_id=target.id,
            traceparent="", now=3,
        )  # fmt: skip
        deletion = delete_environment(c, sample)
        for _ in range(2):
            work = end_work(c, deletion, 10)
            assert (work.deployment_ids, work.build_ids) == ((sent.id,), (sent.build_id,))
        assert work.waits_for == f"the deploy {sent.id} (pending), the build {sent.build_id} (pending)"
        assert deployment_of(c, unsent.id).status is Status.CANCELLED
        assert deployment_of(c, sent.id).cancel_requested_at == 10
        assert deployment_of(c, beside.id).cancel_requested_at is None
        ended = c.execute(select(operations).where(operations.c.id == operation_id)).one()
        assert (ended.status, ended.error_code) == (OperationStatus.FAILED, "environment.deleting")
        for _ in range(5):
            record_deploy(c, sample)
        whole = end_work(c, delete_project(c, sample), 11)
        assert whole.names[-1] == f"the deletion {deletion.id} of {deletion.what}"
        assert whole.waits_for.endswith(" more") is (len(whole.names) > 3)

    await db.write(run)


async def test_an_environment_is_erased_and_nothing_beside_it(db: Database) -> None:
    """Its rows stay without content; production is as it was."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        gone, kept = (
            ready_deployment(c, sample, environment_id=place) for place in (sample.preview_id, sample.production_id)
        )
        for made, place in ((gone, sample.preview_id), (kept, sample.production_id)):
            c.execute(
                update(deployment_rows)
                .where(deployment_rows.c.id == made.id)
                .values(git_json={"commit_message": "secret plan"}, variables_sealed=b"v", error_message="m")
            )
            environments.set_variable(c, place, "TOKEN", b"sealed", 1)
            regions.place(c, deployment_id=made.id, region="local", image_ref="engine:sha256:1", stopped=True, now=1)
            idempotency.keep(c, project_id=sample.project_id, key=place, payload_hash="h", result_id=made.id, now=1)
        deletion = delete_environment(c, sample)
        queries.give_up_images(c, deletion)
        assert queries.erase(c, deletion, 20)
        assert not queries.erase(c, deletion, 21)
        assert deletion_of(c, deletion.id).status is DeletionStatus.DONE
        row = deployment_of(c, gone.id)
        assert (row.git_json, row.variables_sealed, row.error_message, row.image_ref) == ({}, None, None, "")
        assert (row.deleted_at, row.status) == (20, Status.READY)
        other = deployment_of(c, kept.id)
        assert (other.git_json, other.image_ref) == ({"commit_message": "secret plan"}, "engine:sha256:1")
        assert c.execute(select(environment_variables.c.environment_id)).scalars().all() == [sample.production_id]
        assert c.execute(select(idempotency_keys.c.result_id)).scalars().all() == [kept.id]
        assert regions.topologies_of(c, gone.id) == []
        place_row = environment_of(c, sample.preview_id)
        assert (place_row.slug, place_row.data_key) == (sample.preview_id, b"")
        assert environments.by_slug(c, sample.project_id, "preview") is None
        assert project_of(c, sample.project_id).deletion_id is None

    await db.write(run)


async def test_contexts_that_others_are_built_from_stay(db: Database) -> None:
    """A context goes with the last build that uses it; of a project all go."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        for sha256 in ("0" * 64, "1" * 64, "2" * 64):
            contexts.announce(c, project_id=sample.project_id, sha256=sha256, size_bytes=1, now=1, expires_at=2)
        shared, own = (contexts.path_of(sample.project_id, digit * 64) for digit in "01")
        one, two = (record_deploy(c, sample, environment_id=sample.preview_id, branch=branch) for branch in "ab")
        record_deploy(c, sample)
        c.execute(update(builds).where(builds.c.id == two.build_id).values(build_context_path=own))
        c.execute(update(builds).values(status=BuildStatus.SUCCEEDED))
        deletion = delete_environment(c, sample)
        assert queries.build_ids(c, deletion) == sorted([one.build_id or "", two.build_id or ""])
        assert queries.forget_contexts(c, deletion) == [own]
        assert queries.forget_contexts(c, deletion) == []
        whole = delete_project(c, sample)
        assert queries.forget_contexts(c, whole, limit=1) == [shared]
        assert queries.forget_contexts(c, whole) == [contexts.path_of(sample.project_id, "2" * 64)]

    await db.write(run)


async def test_another_project_is_untouched(db: Database) -> None:
    """Nothing of one project's deletion reaches into another one."""

    def run(c: Connection) -> None:
        mine, other = (add_sample_project(c, slug) for slug in ("mine", "other"))
        for sample in (mine, other):
            made = ready_deployment(c, sample)
            domains.add(
                c, workspace_id=sample.workspace_id, project_id=sample.project_id,
                environment_id=sample.production_id, name=parse_domain(f"www.{sample.project_id[-4:]}.example"),
                token="t", now=1,
            )  # fmt: skip
            c.execute(
                insert(routes).values(
                    hostname=f"{sample.project_id}.example", workspace_id=sample.workspace_id,
                    project_id=sample.project_id, environment_id=sample.production_id, deployment_id=made.id,
                    kind="live", sticky="live", fence=1, version=1, created_at=1, updated_at=1,
                )
            )  # fmt: skip
        before = [deployments.page(c, other.project_id), environments.of_project(c, other.project_id)]
        deletion = delete_project(c, mine)
        assert queries.environment_ids(c, deletion) == sorted([mine.production_id, mine.preview_id])
        for environment_id in queries.environment_ids(c, deletion):
            moves.clear(c, environment_id, 10)
        queries.give_up_images(c, deletion)
        queries.erase(c, deletion, 20)
        assert [deployments.page(c, other.project_id), environments.of_project(c, other.project_id)] == before
        assert c.execute(select(routes.c.hostname)).scalars().all() == [f"{other.project_id}.example"]
        assert domains.of_environment(c, other.production_id)
        assert projects.by_slug(c, mine.workspace_id, "mine") is None
        assert project_of(c, mine.project_id).name == ""

    await db.write(run)
