"""Promise: a domain's route joins the environment's others and moves with them, whatever happens to these."""

from sqlalchemy import Connection

from pkg import intents
from pkg.db import Database
from pkg.deployments import queries as deployments
from pkg.deployments.addresses import domains_of, hostnames_of
from pkg.deployments.model import Deployment
from pkg.deployments.status import RunState
from pkg.domains import queries as domains
from pkg.domains.model import Domain, DomainStatus
from pkg.domains.names import parse_domain
from pkg.environments import queries as environments
from pkg.feed import queries as desired
from pkg.hostnames import HostnameKind
from pkg.operations import queries as operations
from pkg.routes import domains as domain_routes
from pkg.routes import moves, queries
from pkg.routes.moves import Assigned
from pkg.routes.rules import Intent
from pkg.testing.sample_project import SampleProject, add_sample_project, environment_of, ready_deployment

DOMAIN = "www.example.net"
LIVE = "hello.sealift.localhost"


def _add(c: Connection, sample: SampleProject, hostname: str = DOMAIN, environment_id: str = "") -> Domain:
    return domains.add(
        c,
        workspace_id=sample.workspace_id,
        project_id=sample.project_id,
        environment_id=environment_id or sample.production_id,
        name=parse_domain(hostname),
        token="t",
        now=1,
    )


def _assign(c: Connection, d: Deployment, intent: Intent = Intent.DEPLOY, seq: int | None = None) -> Assigned:
    environment = environment_of(c, d.environment_id)
    return moves.assign(
        c,
        deployment=d,
        environment=environment,
        hostnames=[*hostnames_of(c, d, environment, "sealift.localhost"), *domains_of(c, environment.id)],
        intent=intent,
        seq=d.seq if seq is None else seq,
        now=2,
    )


def _holder(c: Connection, hostname: str) -> tuple[str, int] | None:
    row = queries.get(c, hostname)
    return None if row is None else (row.deployment_id, row.fence)


def _answers(c: Connection) -> dict[str, str]:
    """Of the routes that lead to no deployment, those of domains and the project's own one."""
    found = [row for row in queries.every(c) if not row.deployment_id]
    return {row.hostname: row.answer for row in found if row.kind == HostnameKind.CUSTOM or row.hostname == LIVE}


def _same(c: Connection) -> bool:
    """Whether the domain leads to where the environment's own hostname leads, by the same intent."""
    return _holder(c, DOMAIN) == _holder(c, LIVE)


async def test_a_proven_domain_leads_to_what_is_live(db: Database) -> None:
    """At once, without an intent, with a change for krane; a second activation changes nothing."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one = ready_deployment(c, sample)
        _assign(c, one)
        before = desired.head(c).version
        domain = _add(c, sample)
        done = domain_routes.activate(c, domain, LIVE, 3)
        assert (done.conflict, done.deployment_id) == ("", one.id)
        assert _same(c)
        row = queries.get(c, DOMAIN)
        assert row is not None
        assert (row.kind, row.sticky, row.version) == ("custom", "environment", before + 1)
        assert domain_routes.activate(c, domain, LIVE, 4).conflict == ""
        assert desired.head(c).version == before + 1
        assert [r.hostname for r in queries.of_deployment(c, one.id)][:2] == [DOMAIN, LIVE]

    await db.write(run)


async def test_an_undo_takes_it_back_with_the_others(db: Database) -> None:
    """Also where the domain was proven between the deploy's taking of the routes and its failure."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two = ready_deployment(c, sample), ready_deployment(c, sample)
        _assign(c, one)
        _assign(c, two)
        domain_routes.activate(c, _add(c, sample), LIVE, 3)
        assert DOMAIN in moves.undo(c, deployment_id=two.id, seq=two.seq, now=4).hostnames
        assert _holder(c, DOMAIN) == (one.id, one.seq)
        assert _same(c)

    await db.write(run)


async def test_it_moves_with_deploy_promote_and_rollback(db: Database) -> None:
    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two = ready_deployment(c, sample), ready_deployment(c, sample)
        _assign(c, one)
        domain_routes.activate(c, _add(c, sample), LIVE, 3)
        assert DOMAIN in _assign(c, two).hostnames
        assert _holder(c, DOMAIN) == (two.id, two.seq)
        assert moves.rollback_target(c, sample.production_id, two.id) == one.id
        _assign(c, one, Intent.ROLLBACK, environments.take_seq(c, sample.production_id))
        assert _same(c)
        environments.set_rolled_back(c, sample.production_id, True, 5)
        three = ready_deployment(c, sample)
        assert DOMAIN not in _assign(c, three).hostnames
        assert _same(c)
        _assign(c, three, Intent.PROMOTE, environments.take_seq(c, sample.production_id))
        assert _holder(c, DOMAIN) is not None
        assert _same(c)
        environments.set_rolled_back(c, sample.production_id, False, 6)
        late = _assign(c, two)
        assert late.newer_deployment_id == three.id
        assert _same(c)

    await db.write(run)


async def test_a_take_down_keeps_it_and_the_next_deploy_brings_it_back(db: Database) -> None:
    """It says that the app is stopped, as one does that is added then; a deploy after it that fails changes nothing."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two = ready_deployment(c, sample), ready_deployment(c, sample)
        _assign(c, one)
        domain_routes.activate(c, _add(c, sample), LIVE, 2)
        _assign(c, two)
        operation_id = intents.record_stop(
            c, environment=environment_of(c, two.environment_id), target=two, takes_down=True, traceparent="", now=3
        )
        stop = operations.get(c, operation_id)
        assert stop is not None
        moves.release(c, two.id, seq=stop.seq, now=3)
        assert deployments.set_run_state(c, two.id, RunState.STOPPING, 3)
        assert _answers(c) == {DOMAIN: "stopped", LIVE: "stopped"}
        other = _add(c, sample, "shop.example.net")
        assert domain_routes.activate(c, other, LIVE, 4).deployment_id == ""
        assert _answers(c) == {DOMAIN: "stopped", LIVE: "stopped", "shop.example.net": "stopped"}
        three = ready_deployment(c, sample)
        assert {DOMAIN, "shop.example.net"} <= set(_assign(c, three).hostnames)
        assert {DOMAIN, "shop.example.net", LIVE} <= set(
            moves.undo(c, deployment_id=three.id, seq=three.seq, now=5).removed
        )
        assert _answers(c) == {DOMAIN: "stopped", LIVE: "stopped", "shop.example.net": "stopped"}
        assert _same(c)

    await db.write(run)


async def test_removed_and_added_elsewhere_it_has_no_past(db: Database) -> None:
    """What held it in another environment is nothing that an undo or a rollback finds."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one, two = ready_deployment(c, sample), ready_deployment(c, sample)
        _assign(c, one)
        domain_routes.activate(c, _add(c, sample), LIVE, 2)
        _assign(c, two)
        domain = domains.by_hostname(c, sample.workspace_id, DOMAIN)
        assert domain is not None
        domain_routes.remove(c, domain, 3)
        domain_routes.remove(c, domain, 3)
        assert _holder(c, DOMAIN) is None
        assert moves.undo(c, deployment_id=two.id, seq=two.seq, now=4).removed
        preview = ready_deployment(c, sample, environment_id=sample.preview_id)
        _assign(c, preview)
        domain_routes.activate(c, _add(c, sample, environment_id=sample.preview_id), LIVE, 5)
        assert _holder(c, DOMAIN) == (preview.id, preview.seq)
        assert DOMAIN in moves.undo(c, deployment_id=preview.id, seq=preview.seq, now=6).removed

    await db.write(run)


async def test_the_proof_of_another_workspace_ends_it(db: Database) -> None:
    """Its route leads there from one change to the next, and the workspace that lost it is told."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        other = add_sample_project(c, "theirs", workspace="other")
        one, theirs = ready_deployment(c, sample), ready_deployment(c, other)
        _assign(c, one)
        _assign(c, theirs)
        mine = _add(c, sample)
        domain_routes.activate(c, mine, LIVE, 2)
        assert [held.id for held in domains.held_elsewhere(c, other.workspace_id, mine.name)] == [mine.id]
        domain_routes.activate(c, _add(c, other), LIVE, 3)
        assert _holder(c, DOMAIN) == (theirs.id, theirs.seq)
        lost = domains.get(c, mine.id)
        assert lost is not None
        assert (lost.status, lost.next_check_at) == (DomainStatus.LOST, None)
        assert [v.workspace_id for v in domains.every_active(c)] == [other.workspace_id]
        domain_routes.remove(c, lost, 4)
        assert _holder(c, DOMAIN) == (theirs.id, theirs.seq)

    await db.write(run)


async def test_what_overlaps_with_another_workspace_stays_pending(db: Database) -> None:
    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        other = add_sample_project(c, "theirs", workspace="other")
        domain_routes.activate(c, _add(c, sample, "*.example.net"), LIVE, 2)
        done = domain_routes.activate(c, _add(c, other, "a.b.example.net"), LIVE, 3)
        assert "Another workspace holds *.example.net" in done.conflict
        domain_routes.activate(c, _add(c, sample, "x.y.example.org"), LIVE, 2)
        assert "holds x.y.example.org" in domain_routes.activate(c, _add(c, other, "*.example.org"), LIVE, 3).conflict
        assert domain_routes.activate(c, _add(c, sample, "b.example.net"), LIVE, 2).conflict == ""

    await db.write(run)
