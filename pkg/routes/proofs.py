"""What follows from a check of DNS for a domain and its route: one transaction."""

from dataclasses import dataclass

from sqlalchemy import Connection

from pkg.domains import queries, rules
from pkg.domains.model import Domain, DomainStatus, Report, report_json
from pkg.routes import domains as domain_routes


@dataclass(frozen=True)
class Outcome:
    """What a check led to.

    Attributes:
        activated: the domain is active since now.
        is_right: nothing is wrong with it.
        reason: what is, for people.
    """

    activated: bool
    is_right: bool
    reason: str


def settle(connection: Connection, domain_id: str, report: Report, own_hostname: str, now: int) -> Outcome | None:
    """Keeps the report, makes a proven domain active, and says when DNS is asked next. None: it was removed meanwhile.

    An active domain stays active whatever the report says. What DNS did not answer stays as it was known.
    `own_hostname`: of the environment.
    """
    domain = queries.get(connection, domain_id)
    if domain is None:
        return None
    reason, activated = report.reason, False
    if report.is_right and domain.status is not DomainStatus.ACTIVE:
        reason = _still_claimed(connection, domain, report)
        if not reason:
            reason = domain_routes.activate(connection, domain, own_hostname, now).conflict
            activated = not reason
    is_right = report.is_right and not reason
    has_changed = activated or is_right != domain.is_right
    since = now if has_changed and (activated or domain.status is DomainStatus.ACTIVE) else domain.checking_since
    next_check_at = rules.next_check_at(
        is_active=activated or domain.status is DomainStatus.ACTIVE, is_right=is_right, since=since, now=now
    )
    if next_check_at is None:
        days = rules.GIVE_UP_AFTER_MS // (24 * 3600 * 1000)
        reason += f" DNS was asked for {days} days and is asked no more: `sealift domains verify {domain.hostname}`."
    queries.record_check(
        connection,
        domain,
        is_owned=domain.is_owned if report.is_owned is None else report.is_owned,
        is_right=is_right,
        report=report_json(report, reason),
        checking_since=since,
        next_check_at=next_check_at,
        now=now,
    )
    return Outcome(activated, is_right, reason)


def _still_claimed(connection: Connection, domain: Domain, report: Report) -> str:
    """Why a proven domain is not taken from a workspace that holds it and proves it, too; "" when nobody does."""
    for held in queries.held_elsewhere(connection, domain.workspace_id, domain.name):
        if held.hostname == domain.hostname and held.token in report.txt:
            return (
                f"Another workspace holds {domain.hostname}, and its TXT record {held.token} is in the zone as well: "
                "remove that record."
            )
    return ""
