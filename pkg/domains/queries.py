"""Statements about domains."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, and_, case, delete, func, insert, or_, select, update

from pkg.db import rows
from pkg.domains.model import ActiveHostname, Domain, DomainStatus
from pkg.domains.names import WILDCARD, DomainName
from pkg.domains.rules import Counts, wildcards_above
from pkg.domains.tables import domains
from pkg.ids import new_id


def add(
    connection: Connection,
    *,
    workspace_id: str,
    project_id: str,
    environment_id: str,
    name: DomainName,
    token: str,
    now: int,
) -> Domain:
    """Inserts a pending domain, whose DNS is due to be asked. The caller has checked that the name is free."""
    domain_id = new_id("dom")
    connection.execute(
        insert(domains).values(
            id=domain_id,
            workspace_id=workspace_id,
            project_id=project_id,
            environment_id=environment_id,
            hostname=name.hostname,
            registrable=name.registrable,
            token=token,
            status=DomainStatus.PENDING,
            is_owned=False,
            is_right=False,
            report_json={},
            checking_since=now,
            next_check_at=now,
            created_at=now,
            updated_at=now,
        )
    )
    added = get(connection, domain_id)
    assert added is not None
    return added


def get(connection: Connection, domain_id: str, *, workspace_id: str | None = None) -> Domain | None:
    """The domain, or None when it does not exist (in that workspace)."""
    query = select(domains).where(domains.c.id == domain_id)
    if workspace_id is not None:
        query = query.where(domains.c.workspace_id == workspace_id)
    return rows.one(Domain, connection.execute(query))


def by_hostname(connection: Connection, workspace_id: str, hostname: str) -> Domain | None:
    """The workspace's domain of that name, or None."""
    query = select(domains).where(domains.c.workspace_id == workspace_id, domains.c.hostname == hostname)
    return rows.one(Domain, connection.execute(query))


def page(
    connection: Connection,
    project_id: str,
    *,
    environment_id: str | None = None,
    after_hostname: str = "",
    limit: int = 50,
) -> list[Domain]:
    """By hostname, from the one after `after_hostname`."""
    query = select(domains).where(domains.c.project_id == project_id, domains.c.hostname > after_hostname)
    if environment_id is not None:
        query = query.where(domains.c.environment_id == environment_id)
    return rows.every(Domain, connection.execute(query.order_by(domains.c.hostname).limit(limit)))


def of_environment(connection: Connection, environment_id: str) -> list[Domain]:
    """All domains of an environment, whatever their status, by hostname."""
    query = select(domains).where(domains.c.environment_id == environment_id).order_by(domains.c.hostname)
    return rows.every(Domain, connection.execute(query))


def counts(connection: Connection, *, workspace_id: str, project_id: str, environment_id: str) -> Counts:
    """How many there are, whatever their status."""

    def count(column: Any, value: str) -> int:
        return int(connection.execute(select(func.count()).where(column == value)).scalar_one())

    return Counts(
        environment=count(domains.c.environment_id, environment_id),
        project=count(domains.c.project_id, project_id),
        workspace=count(domains.c.workspace_id, workspace_id),
    )


def held_elsewhere(connection: Connection, workspace_id: str, name: DomainName) -> list[Domain]:
    """Active domains of other workspaces that are the same name, cover it, or are covered by it."""
    same = domains.c.hostname.in_([name.hostname, *wildcards_above(name.hostname)])
    below = domains.c.hostname.endswith(f".{name.base}", autoescape=True)
    query = select(domains).where(
        domains.c.workspace_id != workspace_id,
        domains.c.status == DomainStatus.ACTIVE,
        or_(same, below) if name.is_wildcard else same,
    )
    return rows.every(Domain, connection.execute(query.order_by(domains.c.hostname)))


def active_hostnames(connection: Connection, environment_id: str) -> list[str]:
    """The environment's active domains, the oldest first, wildcards last."""
    query = (
        select(domains.c.hostname)
        .where(domains.c.environment_id == environment_id, domains.c.status == DomainStatus.ACTIVE)
        .order_by(domains.c.verified_at, domains.c.hostname)
    )
    return sorted(map(str, connection.execute(query).scalars()), key=lambda hostname: hostname.startswith(WILDCARD))


def every_active(connection: Connection) -> list[ActiveHostname]:
    """Every active domain of the installation, by hostname: the names that want a certificate."""
    query = (
        select(
            domains.c.hostname,
            domains.c.id.label("domain_id"),
            domains.c.workspace_id,
            domains.c.project_id,
            domains.c.environment_id,
        )
        .where(domains.c.status == DomainStatus.ACTIVE)
        .order_by(domains.c.hostname)
    )
    return rows.every(ActiveHostname, connection.execute(query))


def take_due(
    connection: Connection,
    *,
    now: int,
    until: int,
    limit: int,
    limit_of_one: int | None = None,
    under_way: Mapping[str, int] = MappingProxyType({}),
) -> list[Domain]:
    """Domains whose check is due; nobody else takes them before `until`.

    First those that were not checked since a user asked, the newest of them first, then the longest due.

    Args:
        connection: of the transaction.
        now: epoch ms.
        until: epoch ms.
        limit: of domains.
        limit_of_one: of checks of one workspace, with those under way; None: as `limit`.
        under_way: checks by workspace id.
    """
    most = limit if limit_of_one is None else limit_of_one
    is_checked = and_(domains.c.checked_at.is_not(None), domains.c.checked_at >= domains.c.checking_since)
    order = (
        case((is_checked, 1), else_=0),
        case((is_checked, 0), else_=-domains.c.checking_since),
        domains.c.next_check_at,
    )
    full = [workspace_id for workspace_id, count in under_way.items() if count >= most]
    place = func.row_number().over(partition_by=domains.c.workspace_id, order_by=order)
    ranked = (
        select(domains.c.id, place.label("place"))
        .where(domains.c.next_check_at <= now, domains.c.workspace_id.not_in(full))
        .subquery()
    )
    query = select(domains).join(ranked, ranked.c.id == domains.c.id).where(ranked.c.place <= most)
    counts: Counter[str] = Counter(under_way)
    due = []
    for one in rows.every(Domain, connection.execute(query.order_by(*order).limit(limit))):
        counts[one.workspace_id] += 1
        if counts[one.workspace_id] <= most:
            due.append(one)
    if due:
        taken = domains.c.id.in_([one.id for one in due])
        connection.execute(update(domains).where(taken).values(next_check_at=until))
    return due


def next_check_at(connection: Connection) -> int | None:
    """When the next check is due, epoch ms; None when none is."""
    found = connection.execute(select(func.min(domains.c.next_check_at))).scalar_one()
    return None if found is None else int(found)


def request_check(connection: Connection, domain_id: str, now: int) -> None:
    """Makes the check due now, with short pauses after it. Idempotent."""
    connection.execute(update(domains).where(domains.c.id == domain_id).values(next_check_at=now, checking_since=now))


def hasten_checks(connection: Connection, domain_ids: Sequence[str], now: int, *, unless_checked_since: int) -> None:
    """Makes checks due now, but for domains that were checked since that time. Idempotent."""
    of_these = domains.c.id.in_(domain_ids) & (domains.c.checked_at < unless_checked_since)
    connection.execute(update(domains).where(of_these, domains.c.next_check_at > now).values(next_check_at=now))


def record_check(
    connection: Connection,
    before: Domain,
    *,
    is_owned: bool,
    is_right: bool,
    report: dict[str, Any],
    checking_since: int,
    next_check_at: int | None,
    now: int,
) -> bool:
    """Keeps what a check found; False: the domain was removed meanwhile. Idempotent."""
    done = connection.execute(
        update(domains)
        .where(domains.c.id == before.id)
        .values(
            is_owned=is_owned,
            is_right=is_right,
            report_json=report,
            checking_since=checking_since,
            next_check_at=next_check_at,
            checked_at=now,
            updated_at=now,
        )
    )
    return bool(done.rowcount)


def set_status(
    connection: Connection, domain_id: str, status: DomainStatus, *, only_from: Sequence[DomainStatus], now: int
) -> bool:
    """Changes the status, if it is one of `only_from`; whether it did. Becoming active notes the time."""
    values: dict[str, Any] = {"status": status, "updated_at": now}
    if status is DomainStatus.ACTIVE:
        values["verified_at"] = now
    if status is DomainStatus.LOST:
        values["next_check_at"] = None
    statement = update(domains).where(domains.c.id == domain_id, domains.c.status.in_(only_from)).values(**values)
    return bool(connection.execute(statement).rowcount)


def remove(connection: Connection, domain_id: str) -> None:
    """Deletes the row. Idempotent."""
    connection.execute(delete(domains).where(domains.c.id == domain_id))
