"""Promise: a status moves by its table only, each step is timed once, and who superseded whom is known."""

from sqlalchemy import Connection

from pkg.db import Database
from pkg.deployments import queries
from pkg.deployments.status import RunState, Status, Step
from pkg.testing.sample_project import add_sample_project, deployment_of, record_deploy


async def test_a_failed_deploy_keeps_its_reason(db: Database) -> None:
    """The open step ends with the first line of it; what comes later changes nothing."""

    def run(c: Connection) -> None:
        dep = record_deploy(c, add_sample_project(c), image="nginx:1").id
        assert queries.enter(c, dep, Status.DEPLOYING, 2)
        queries.start_step(c, dep, Step.DEPLOYING, 2)
        queries.start_step(c, dep, Step.DEPLOYING, 3)
        queries.keep_output(c, dep, ["line"])
        queries.note_error(c, dep, code="a.b", message="soon", step="deploying", now=4)
        assert [d.id for d in queries.in_flight(c)] == [dep]
        assert queries.fail(c, dep, code="a.c", message="it ended\nwith this", step="deploying", now=5)
        assert not queries.fail(c, dep, code="a.d", message="again", step="deploying", now=6)
        found = deployment_of(c, dep)
        assert (found.status, found.error_code, found.last_output_json) == (Status.FAILED, "a.c", ["line"])
        steps = {step.name: step for step in queries.steps(c, dep)}
        assert (steps["deploying"].started_at, steps["deploying"].error) == (2, "it ended")

    await db.write(run)


async def test_successors_of_superseded_deployments(db: Database) -> None:
    """The next of the branch is the one that ended it."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        first, other, second = (record_deploy(c, sample, branch=branch).id for branch in ("a", "b", "a"))
        assert queries.successors(c, [first, other, second]) == {first: second}
        listed = queries.page(c, sample.project_id, environment_id=sample.production_id, branch="a", before_id=second)
        assert [d.id for d in listed] == [first]
        assert queries.cancel_pending(c, second, 9)
        assert not queries.cancel_pending(c, second, 9)

    await db.write(run)


async def test_ready_deployments_by_run_state_and_time(db: Database) -> None:
    """Those that have been in a state for long are found, with their image and notices."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two = (record_deploy(c, sample, image="nginx:1", branch=branch).id for branch in ("a", "b"))
        for dep in (one, two):
            for status in (Status.DEPLOYING, Status.NETWORK, Status.READY):
                assert queries.enter(c, dep, status, 3)
            queries.set_image(c, dep, "nginx:1", None, 4)
            assert queries.set_run_state(c, dep, RunState.STARTING, 10)
            assert not queries.set_run_state(c, dep, RunState.STANDBY, 10)
        for _ in range(2):
            queries.add_notice(c, one, "said once", 11)
        assert deployment_of(c, one).notices_json == ["said once"]
        assert queries.has_other_ready(c, sample.production_id, one)
        assert {d.id for d in queries.in_run_state(c, [RunState.STARTING], before=11)} == {one, two}
        assert queries.in_run_state(c, [RunState.STARTING], before=10) == []

    await db.write(run)
