"""Promise: routes are taken and given back one by one, to a deployment that answers; repeated steps are free."""

from sqlalchemy import Connection

from pkg import intents
from pkg.db import Database
from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.deployments.status import RunState
from pkg.environments import queries as environments
from pkg.feed import queries as desired
from pkg.hostnames import Hostname, Sticky, hostnames_for
from pkg.operations import queries as operations
from pkg.routes import moves, queries
from pkg.routes.moves import Assigned
from pkg.routes.rules import Intent
from pkg.testing.sample_project import add_sample_project, environment_of, ready_deployment

LIVE = "hello.sealift.localhost"


def _hostnames(deployment: Deployment) -> list[Hostname]:
    return hostnames_for(
        project_slug="hello",
        environment_slug="production",
        is_production=True,
        branch=deployment.branch,
        commit_sha="a" * 40,
        deployment_id=deployment.id,
        apex="sealift.localhost",
    )


def _assign(c: Connection, d: Deployment, intent: Intent = Intent.DEPLOY, seq: int | None = None) -> Assigned:
    return moves.assign(
        c,
        deployment=d,
        environment=environment_of(c, d.environment_id),
        hostnames=_hostnames(d),
        intent=intent,
        seq=d.seq if seq is None else seq,
        now=2,
    )


async def test_take_over_and_give_back(db: Database) -> None:
    """Undo returns each route to the latest deployment that is ready and warm, with that one's fence."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two = ready_deployment(c, sample), ready_deployment(c, sample)
        first, second = _assign(c, one), _assign(c, two)
        assert first.taken
        assert second.taken
        assert second.previous_deployment_id == one.id
        undone = moves.undo(c, deployment_id=two.id, seq=two.seq, now=3)
        assert LIVE in undone.hostnames
        row = queries.get(c, LIVE)
        assert row is not None
        assert (row.deployment_id, row.fence) == (one.id, one.seq)
        # its own hostnames had no earlier deployment: deleted
        assert queries.of_deployment(c, two.id) == []
        assert moves.undo(c, deployment_id=two.id, seq=two.seq, now=4) == moves.Undone(0, (), ())

    await db.write(run)


async def test_undo_never_returns_to_a_deployment_that_is_gone(db: Database) -> None:
    """A stopped predecessor is skipped for an older one that answers."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two, three = (ready_deployment(c, sample) for _ in range(3))
        for d in (one, two, three):
            _assign(c, d)
        assert deployments.set_run_state(c, two.id, RunState.STOPPING, 3)
        moves.undo(c, deployment_id=three.id, seq=three.seq, now=4)
        row = queries.get(c, LIVE)
        assert row is not None
        assert row.deployment_id == one.id

    await db.write(run)


async def test_what_was_taken_down_does_not_come_back_by_an_undo(db: Database) -> None:
    """A deploy after a take-down that fails leaves it down: no older version is made live behind the user's back."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two = ready_deployment(c, sample), ready_deployment(c, sample)
        for d in (one, two):
            _assign(c, d)
        operation_id = intents.record_stop(
            c, environment=environment_of(c, two.environment_id), target=two, takes_down=True, traceparent="", now=3
        )
        stop = operations.get(c, operation_id)
        assert stop is not None
        assert moves.release(c, two.id, seq=stop.seq, now=3)
        assert deployments.set_run_state(c, two.id, RunState.STOPPING, 3)
        assert queries.of_deployment(c, two.id) == []
        _check_stopped(c, stop.seq)
        assert queries.live_deployment_id(c, two.environment_id) is None
        three = ready_deployment(c, sample)
        assert _assign(c, three).taken
        assert moves.rollback_target(c, three.environment_id, three.id) == two.id
        assert LIVE in moves.undo(c, deployment_id=three.id, seq=three.seq, now=4).removed
        _check_stopped(c, stop.seq)
        assert all(queries.get(c, h.hostname) is None for h in _hostnames(three) if h.sticky is Sticky.NONE)
        four, five = ready_deployment(c, sample), ready_deployment(c, sample)
        for d in (four, five):
            _assign(c, d)
        assert LIVE in moves.undo(c, deployment_id=five.id, seq=five.seq, now=5).hostnames

    await db.write(run)


async def test_what_is_stopped_stays_reserved_for_newer_intents(db: Database) -> None:
    """A deploy from before the stop leaves it down, and so does a repeated step; a promote brings everything back."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, late = ready_deployment(c, sample), ready_deployment(c, sample)
        _assign(c, one)
        operation_id = intents.record_stop(
            c, environment=environment_of(c, one.environment_id), target=one, takes_down=True, traceparent="", now=3
        )
        stop = operations.get(c, operation_id)
        assert stop is not None
        shared = [h for h in queries.of_deployment(c, one.id) if h.sticky is not Sticky.NONE]
        assert {h.sticky for h in shared} == {Sticky.LIVE, Sticky.ENVIRONMENT, Sticky.BRANCH}
        assert moves.release(c, one.id, seq=stop.seq, now=3)
        assert moves.release(c, one.id, seq=stop.seq, now=3) == 0
        for deployment in (late, one):
            left = _assign(c, deployment)
            assert (left.taken, left.is_stopped, left.newer_deployment_id) == (False, True, None)
            _check_stopped(c, stop.seq)
        assert {h.hostname for h in queries.every(c)} >= {h.hostname for h in shared}
        seq = environments.take_seq(c, one.environment_id)
        back = _assign(c, late, Intent.PROMOTE, seq)
        assert back.taken
        assert {h.hostname for h in shared} <= set(back.hostnames)
        assert moves.rollback_target(c, one.environment_id, late.id) == one.id
        undone = moves.undo(c, deployment_id=late.id, seq=seq, now=5)
        assert LIVE in undone.removed
        _check_stopped(c, stop.seq)

    await db.write(run)


async def test_a_stopped_branch_is_not_reserved_for_ever(db: Database) -> None:
    """After 30 days its hostname is removed, so that merged branches do not pile up; the environment's stay."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one = ready_deployment(c, sample)
        _assign(c, one)
        assert moves.release(c, one.id, seq=one.seq + 1, now=10)
        moves.forget_stopped_branches(c, 10 + moves.STOPPED_BRANCH_KEPT_MS)
        assert {row.sticky for row in queries.every(c)} == {Sticky.LIVE, Sticky.ENVIRONMENT, Sticky.BRANCH}
        before = desired.head(c).version
        moves.forget_stopped_branches(c, 11 + moves.STOPPED_BRANCH_KEPT_MS)
        assert {row.sticky for row in queries.every(c)} == {Sticky.LIVE, Sticky.ENVIRONMENT}
        assert desired.head(c).version == before + 1

    await db.write(run)


def _check_stopped(c: Connection, seq: int) -> None:
    row = queries.get(c, LIVE)
    assert row is not None
    assert (row.deployment_id, row.answer, row.fence) == ("", "stopped", seq)


async def test_a_late_older_deploy_leaves_the_newer_live(db: Database) -> None:
    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        older, newer = ready_deployment(c, sample), ready_deployment(c, sample)
        assert _assign(c, newer).taken
        late = _assign(c, older)
        assert not late.taken
        assert late.newer_deployment_id == newer.id
        # its own hostnames are its own all the same
        assert any(queries.get(c, h) for h in late.hostnames)

    await db.write(run)


async def test_assign_again_records_no_new_change(db: Database) -> None:
    """A replayed step reports the same version and adds nothing to the feed."""

    def run(c: Connection) -> None:
        deployment = ready_deployment(c, add_sample_project(c))
        first = _assign(c, deployment)
        before = desired.head(c).version
        assert _assign(c, deployment).version == first.version == before == desired.head(c).version

    await db.write(run)


async def test_rollback_sticks_until_a_promote(db: Database) -> None:
    """A rolled-back environment's routes are left alone by deploys; a promote takes them."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two = ready_deployment(c, sample), ready_deployment(c, sample)
        _assign(c, one)
        _assign(c, two)
        assert moves.rollback_target(c, sample.production_id, two.id) == one.id
        seq = environments.take_seq(c, sample.production_id)
        assert _assign(c, one, Intent.ROLLBACK, seq).taken
        environments.set_rolled_back(c, sample.production_id, True, 5)
        three = ready_deployment(c, sample)
        held = _assign(c, three)
        assert not held.taken
        assert held.rolled_back
        seq = environments.take_seq(c, sample.production_id)
        assert _assign(c, three, Intent.PROMOTE, seq).taken
        assert moves.rollback_target(c, sample.production_id, one.id) is None

    await db.write(run)


async def test_rollback_returns_to_what_was_live_before(db: Database) -> None:
    """v1, v2, back to v1, promote v4: the next rollback is to v1, which was live, not to v2, which was given up."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two = ready_deployment(c, sample), ready_deployment(c, sample)
        _assign(c, one)
        _assign(c, two)
        _assign(c, one, Intent.ROLLBACK, environments.take_seq(c, sample.production_id))
        environments.set_rolled_back(c, sample.production_id, True, 5)
        ready_deployment(c, sample)
        four = ready_deployment(c, sample)
        assert _assign(c, four, Intent.PROMOTE, environments.take_seq(c, sample.production_id)).taken
        assert moves.rollback_target(c, sample.production_id, four.id) == one.id

    await db.write(run)


async def test_repeated_rollbacks_go_further_back(db: Database) -> None:
    """Never to and fro; a deployment without an image, or that did not become ready, is passed over."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two, three = (ready_deployment(c, sample) for _ in range(3))
        for d in (one, two, three):
            _assign(c, d)
        assert moves.rollback_target(c, sample.production_id, three.id) == two.id
        _assign(c, two, Intent.ROLLBACK, environments.take_seq(c, sample.production_id))
        assert moves.rollback_target(c, sample.production_id, two.id) == one.id
        deployments.set_image(c, two.id, "", "local", 9)
        assert moves.rollback_target(c, sample.production_id, three.id) == one.id

    await db.write(run)


async def test_own_hostnames_go_before_a_stop(db: Database) -> None:
    """A route never points at a stopped deployment."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two = ready_deployment(c, sample), ready_deployment(c, sample)
        _assign(c, one)
        _assign(c, two)
        assert moves.drop_own(c, one.id, 9) > 0
        assert queries.of_deployment(c, one.id) == []
        assert {r.sticky for r in queries.of_deployment(c, two.id)} >= {Sticky.LIVE, Sticky.NONE}

    await db.write(run)
