"""Promise: an intent is recorded as a whole, in order, and dispatched; too late is said."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.db import Database
from pkg.db.testing import deployment_of, environment_of, fresh_database, make_world, record_deploy
from pkg.deployments import intents, queries
from pkg.deployments.status import RunState, Status, Step
from pkg.errors import FailedPrecondition, NotFound
from pkg.operations.queries import OperationKind
from pkg.routes import queries as routes
from pkg.workflows import outbox as dispatch
from pkg.workflows.outbox import WorkflowName


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    database = await fresh_database(tmp_path)
    yield database
    await database.close()


async def test_a_deploy_is_written_with_its_build_step_and_dispatch(db: Database) -> None:
    def run(c: Connection) -> None:
        world = make_world(c)
        deployment = record_deploy(c, world)
        assert (deployment.status, deployment.run_state, deployment.seq) == (Status.PENDING, RunState.NONE, 1)
        assert deployment.build_id is not None
        assert builds.get(c, deployment.build_id) is not None
        assert [s.name for s in queries.steps(c, deployment.id)] == [Step.QUEUED]
        assert [(d.workflow, d.key) for d in dispatch.due(c)] == [(WorkflowName.DEPLOY, deployment.id)]

    await db.write(run)


async def test_a_newer_deploy_supersedes_pending_ones_of_its_branch_only(db: Database) -> None:
    """Only what has not begun is superseded, and never another branch's or environment's."""

    def run(c: Connection) -> None:
        world = make_world(c)
        pending = record_deploy(c, world)
        begun = record_deploy(c, world, branch="other")
        queries.enter(c, begun.id, Status.BUILDING, 1)
        elsewhere = record_deploy(c, world, environment_id=world.preview_id)
        newest = record_deploy(c, world)
        other_branch = record_deploy(c, world, branch="other")
        assert deployment_of(c, pending.id).status is Status.SUPERSEDED
        assert [step.error for step in queries.steps(c, pending.id)] == ["superseded"]
        assert deployment_of(c, begun.id).status is Status.BUILDING
        assert deployment_of(c, elsewhere.id).status is Status.PENDING
        assert deployment_of(c, newest.id).status is Status.PENDING
        assert deployment_of(c, other_branch.id).status is Status.PENDING
        assert pending.build_id is not None
        superseded_build = builds.get(c, pending.build_id)
        assert superseded_build is not None
        assert superseded_build.cancel_requested_at is not None

    await db.write(run)


async def test_who_was_superseded_knows_by_whom(db: Database) -> None:
    """The next of the branch, not the latest, nor one of another branch or environment; nobody else has one."""

    def run(c: Connection) -> None:
        world = make_world(c)
        first = record_deploy(c, world)
        record_deploy(c, world, branch="other")
        record_deploy(c, world, environment_id=world.preview_id)
        second = record_deploy(c, world)
        begun = record_deploy(c, world)
        queries.enter(c, begun.id, Status.BUILDING, 1)
        latest = record_deploy(c, world)
        everyone = [first.id, second.id, begun.id, latest.id]
        assert queries.successors(c, everyone) == {first.id: second.id, second.id: begun.id}
        assert queries.successors(c, [latest.id]) == {}
        assert queries.successors(c, []) == {}

    await db.write(run)


async def test_cancel_is_idempotent_and_too_late_is_refused(db: Database) -> None:
    """A cancel that is accepted will be honoured; from `network` on it is refused."""

    def run(c: Connection) -> None:
        world = make_world(c)
        deployment = record_deploy(c, world)
        intents.record_cancel(c, deployment, 5)
        intents.record_cancel(c, deployment_of(c, deployment.id), 6)
        assert deployment_of(c, deployment.id).cancel_requested_at == 5

        late = record_deploy(c, world, image="nginx:1", branch="b")
        for status in (Status.DEPLOYING, Status.NETWORK):
            assert queries.enter(c, late.id, status, 7)
        with pytest.raises(FailedPrecondition) as refused:
            intents.record_cancel(c, deployment_of(c, late.id), 8)
        assert refused.value.code == "deployment.already_switching"

    await db.write(run)


async def test_a_requested_cancel_bars_the_way_into_network(db: Database) -> None:
    """Cancel and switch race in one guarded statement: exactly one wins."""

    def run(c: Connection) -> None:
        deployment = record_deploy(c, make_world(c), image="nginx:1")
        assert queries.enter(c, deployment.id, Status.DEPLOYING, 1)
        intents.record_cancel(c, deployment_of(c, deployment.id), 2)
        assert not queries.enter(c, deployment.id, Status.NETWORK, 3)
        assert queries.enter(c, deployment.id, Status.CANCELLED, 4)
        assert not queries.fail(c, deployment.id, code="x", message="y", step="", now=5)

    await db.write(run)


async def test_switch_needs_something_live_and_something_ready(db: Database) -> None:
    def run(c: Connection) -> None:
        world = make_world(c)
        production = environment_of(c, world.production_id)

        def switch(kind: OperationKind, target: str | None) -> str:
            return intents.record_switch(
                c, kind=kind, environment=production, deployment_id=target, traceparent="", now=1
            )

        with pytest.raises(FailedPrecondition, match="no live deployment"):
            switch(OperationKind.ROLLBACK, None)
        with pytest.raises(NotFound):
            switch(OperationKind.PROMOTE, "dep_none")
        deployment = record_deploy(c, world)
        with pytest.raises(FailedPrecondition, match="not ready"):
            switch(OperationKind.PROMOTE, deployment.id)
        elsewhere = record_deploy(c, world, environment_id=world.preview_id)
        with pytest.raises(NotFound):
            switch(OperationKind.PROMOTE, elsewhere.id)
        assert routes.live_deployment_id(c, production.id) is None

    await db.write(run)
