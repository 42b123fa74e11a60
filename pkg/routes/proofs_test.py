"""Promise: a domain follows the proof in the zone, and nothing else, on both databases."""

from sqlalchemy import Connection

from pkg.clock import now_ms
from pkg.db import Database
from pkg.domains import queries, rules
from pkg.domains.model import Domain, DomainStatus, Report
from pkg.domains.names import parse_domain
from pkg.routes.proofs import settle
from pkg.testing.sample_project import SampleProject, add_sample_project

WWW = "www.shop.test"
OWN = "hello.sealift.localhost"


def _insert(connection: Connection, sample: SampleProject, hostname: str, token: str = "t") -> Domain:
    return queries.add(
        connection,
        workspace_id=sample.workspace_id,
        project_id=sample.project_id,
        environment_id=sample.production_id,
        name=parse_domain(hostname),
        token=token,
        now=now_ms(),
    )


def _right(*txt: str) -> Report:
    return Report(is_owned=True, is_pointed=True, txt=txt)


async def test_another_workspace_takes_over_by_proof_alone(db: Database) -> None:
    """Promise: only while the holder's own record is gone from the zone; until then both are told."""

    def run(connection: Connection) -> None:
        mine, theirs = add_sample_project(connection), add_sample_project(connection, "theirs", workspace="other")
        first, second = (_insert(connection, sample, WWW, token) for sample, token in ((mine, "m"), (theirs, "t")))
        done = settle(connection, first.id, _right("m"), OWN, 1)
        assert done is not None
        assert done.activated
        done = settle(connection, second.id, _right("m", "t"), OWN, 2)
        assert done is not None
        assert (done.activated, done.is_right) == (False, False)
        assert "its TXT record m is in the zone as well" in done.reason
        done = settle(connection, second.id, _right("t"), OWN, 3)
        assert done is not None
        assert done.activated
        lost = queries.get(connection, first.id)
        assert lost is not None
        assert lost.status is DomainStatus.LOST
        assert settle(connection, "dom_gone", _right("t"), OWN, 4) is None

    await db.write(run)


async def test_after_two_weeks_only_a_user_asks(db: Database) -> None:
    """Promise: an abandoned domain costs no questions, and says how to go on."""

    def run(connection: Connection) -> None:
        domain = _insert(connection, add_sample_project(connection), WWW)
        later = domain.checking_since + rules.GIVE_UP_AFTER_MS
        done = settle(connection, domain.id, Report(is_owned=False, is_pointed=False), OWN, later)
        assert done is not None
        assert "asked for 14 days and is asked no more: `sealift domains verify www.shop.test`" in done.reason
        assert queries.next_check_at(connection) is None
        queries.request_check(connection, domain.id, later)
        assert [one.id for one in queries.take_due(connection, now=later, until=later + 1, limit=5)] == [domain.id]
        assert queries.take_due(connection, now=later, until=later + 1, limit=5) == []

    await db.write(run)
