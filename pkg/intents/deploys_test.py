"""Promise: an intent is recorded as a whole, in order, and dispatched; one that is too late is refused."""

import pytest
from sqlalchemy import Connection

from pkg import intents
from pkg.builds import queries as builds
from pkg.db import Database
from pkg.deployments import queries
from pkg.deployments.status import RunState, Status, Step
from pkg.errors import FailedPrecondition
from pkg.testing.sample_project import add_sample_project, deployment_of, record_deploy
from pkg.workflows import outbox
from pkg.workflows.deploy import DEPLOY


async def test_a_deploy_is_written_with_its_build_step_and_dispatch(db: Database) -> None:
    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        deployment = record_deploy(c, sample)
        assert (deployment.status, deployment.run_state, deployment.seq) == (Status.PENDING, RunState.NONE, 1)
        assert deployment.build_id is not None
        assert builds.get(c, deployment.build_id) is not None
        assert [s.name for s in queries.steps(c, deployment.id)] == [Step.QUEUED]
        assert [(d.workflow, d.key) for d in outbox.due(c)] == [(DEPLOY, deployment.id)]

    await db.write(run)


async def test_a_newer_deploy_supersedes_pending_ones_of_its_branch_only(db: Database) -> None:
    """Only a deployment that has not started is superseded, and never one of another branch or environment."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        pending = record_deploy(c, sample)
        begun = record_deploy(c, sample, branch="other")
        queries.enter(c, begun.id, Status.BUILDING, 1)
        elsewhere = record_deploy(c, sample, environment_id=sample.preview_id)
        newest = record_deploy(c, sample)
        other_branch = record_deploy(c, sample, branch="other")
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
    """The successor is the next of the same branch and environment, not the latest; others have none."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        first = record_deploy(c, sample)
        record_deploy(c, sample, branch="other")
        record_deploy(c, sample, environment_id=sample.preview_id)
        second = record_deploy(c, sample)
        begun = record_deploy(c, sample)
        queries.enter(c, begun.id, Status.BUILDING, 1)
        latest = record_deploy(c, sample)
        everyone = [first.id, second.id, begun.id, latest.id]
        assert queries.successors(c, everyone) == {first.id: second.id, second.id: begun.id}
        assert queries.successors(c, [latest.id]) == {}
        assert queries.successors(c, []) == {}

    await db.write(run)


async def test_cancel_is_idempotent_and_too_late_is_refused(db: Database) -> None:
    """A cancel that is accepted will be honoured; from `network` on it is refused."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        deployment = record_deploy(c, sample)
        intents.record_cancel(c, deployment, 5)
        intents.record_cancel(c, deployment_of(c, deployment.id), 6)
        assert deployment_of(c, deployment.id).cancel_requested_at == 5

        late = record_deploy(c, sample, image="nginx:1", branch="b")
        for status in (Status.DEPLOYING, Status.NETWORK):
            assert queries.enter(c, late.id, status, 7)
        with pytest.raises(FailedPrecondition) as refused:
            intents.record_cancel(c, deployment_of(c, late.id), 8)
        assert refused.value.code == "deployment.already_switching"

    await db.write(run)


async def test_a_requested_cancel_bars_the_way_into_network(db: Database) -> None:
    """Cancel and switch race in one guarded statement: exactly one wins."""

    def run(c: Connection) -> None:
        deployment = record_deploy(c, add_sample_project(c), image="nginx:1")
        assert queries.enter(c, deployment.id, Status.DEPLOYING, 1)
        intents.record_cancel(c, deployment_of(c, deployment.id), 2)
        assert not queries.enter(c, deployment.id, Status.NETWORK, 3)
        assert queries.enter(c, deployment.id, Status.CANCELLED, 4)
        assert not queries.fail(c, deployment.id, code="x", message="y", step="", now=5)

    await db.write(run)
