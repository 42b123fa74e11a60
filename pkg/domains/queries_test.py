"""Promise: a domain is its workspace's, one check at a time is due for it, and an active one is found by all."""

from sqlalchemy import Connection

from pkg.db import Database
from pkg.domains import queries
from pkg.domains.model import Domain, DomainStatus
from pkg.domains.names import DomainName, parse_domain
from pkg.domains.rules import Counts
from pkg.testing.sample_project import SampleProject, add_sample_project


def add(connection: Connection, sample: SampleProject, name: DomainName, now: int) -> Domain:
    return queries.add(
        connection,
        workspace_id=sample.workspace_id,
        project_id=sample.project_id,
        environment_id=sample.production_id,
        name=name,
        token="t",
        now=now,
    )


def activate(connection: Connection, domain: Domain, now: int) -> bool:
    return queries.set_status(connection, domain.id, DomainStatus.ACTIVE, only_from=[DomainStatus.PENDING], now=now)


async def test_only_active_domains_are_routed_and_certified(db: Database) -> None:
    """Wildcards come last; the status is changed once, and a domain that is removed is gone for everybody."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        names = ("*.shop.example", "b.shop.example", "a.shop.example", "pending.shop.example")
        made = {name: add(c, sample, parse_domain(name), 10) for name in names}
        for at, name in enumerate(names[:3]):
            assert activate(c, made[name], 20 + at)
            assert not activate(c, made[name], 30)
        assert queries.active_hostnames(c, sample.production_id) == [
            "b.shop.example", "a.shop.example", "*.shop.example"
        ]  # fmt: skip
        assert queries.active_hostnames(c, sample.preview_id) == []
        assert [one.hostname for one in queries.every_active(c)] == sorted(names[:3])
        for _ in range(2):
            queries.remove(c, made["a.shop.example"].id)
        assert queries.get(c, made["a.shop.example"].id) is None
        page = queries.page(c, sample.project_id, after_hostname="*.shop.example", limit=1)
        assert [one.hostname for one in page] == ["b.shop.example"]
        counted = queries.counts(
            c,
            workspace_id=sample.workspace_id,
            project_id=sample.project_id,
            environment_id=sample.preview_id,
        )
        assert counted == Counts(environment=0, project=3, workspace=3)

    await db.write(run)


async def test_a_name_is_held_by_the_workspace_that_proved_it(db: Database) -> None:
    """The same name, a wildcard above it and names below a wildcard; a pending claim holds nothing."""

    def run(c: Connection) -> None:
        mine, other = add_sample_project(c), add_sample_project(c, "theirs", workspace="theirs")
        name, wildcard = parse_domain("www.shop.example"), parse_domain("*.shop.example")
        claimed = add(c, other, name, 1)
        assert queries.held_elsewhere(c, mine.workspace_id, name) == []
        assert activate(c, claimed, 2)
        for one in (name, wildcard):
            assert [held.id for held in queries.held_elsewhere(c, mine.workspace_id, one)] == [claimed.id]
        assert queries.held_elsewhere(c, mine.workspace_id, parse_domain("shop.example")) == []
        assert queries.held_elsewhere(c, other.workspace_id, name) == []
        assert queries.get(c, claimed.id, workspace_id=mine.workspace_id) is None
        assert queries.by_hostname(c, mine.workspace_id, "www.shop.example") is None

    await db.write(run)


async def test_a_due_check_is_taken_once(db: Database) -> None:
    """Until its time is over, or a user asks; what was found is kept, and not for a domain that is gone."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        old, new = (add(c, sample, parse_domain(f"{name}.shop.example"), at) for name, at in (("old", 1), ("new", 5)))
        assert [one.id for one in queries.take_due(c, now=10, until=50, limit=9)] == [new.id, old.id]
        assert queries.take_due(c, now=10, until=50, limit=9) == []
        assert queries.next_check_at(c) == 50
        kept = {"is_owned": True, "is_right": False, "report": {"x": 1}, "checking_since": 5, "now": 11}
        assert queries.record_check(c, new, next_check_at=70, **kept)  # type: ignore[arg-type]
        queries.request_check(c, old.id, 20)
        assert [one.id for one in queries.take_due(c, now=20, until=60, limit=9)] == [old.id]
        found = queries.get(c, new.id)
        assert found is not None
        assert (found.is_owned, found.is_right, found.report_json, found.next_check_at) == (True, False, {"x": 1}, 70)
        queries.remove(c, new.id)
        assert not queries.record_check(c, new, next_check_at=70, **kept)  # type: ignore[arg-type]

    await db.write(run)


async def test_the_checks_of_one_workspace_leave_room_for_others(db: Database) -> None:
    """However many it asks for, and however new they are; those under way count."""

    def run(c: Connection) -> None:
        few, many = add_sample_project(c, "few", workspace="few"), add_sample_project(c, "many", workspace="many")
        old = add(c, few, parse_domain("old.few.example"), 1)
        for number in range(6):
            add(c, many, parse_domain(f"n{number}.many.example"), 10 + number)

        def taken(**under_way: int) -> list[str]:
            ids = {"few": few.workspace_id, "many": many.workspace_id}
            by_id = {ids[name]: count for name, count in under_way.items()}
            due = queries.take_due(c, now=20, until=50, limit=4, limit_of_one=2, under_way=by_id)
            return [one.hostname for one in due]

        assert taken(many=2) == ["old.few.example"]
        queries.request_check(c, old.id, 5)
        assert taken(many=1) == ["n5.many.example", "old.few.example"]
        assert taken() == ["n4.many.example", "n3.many.example"]
        assert taken(many=2) == []

    await db.write(run)
