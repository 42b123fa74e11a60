"""Domains as messages."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from pkg.config.sections import Ingress
from pkg.deployments.addresses import environment_hostname
from pkg.domains.model import Domain, DomainStatus, RecordCheck
from pkg.domains.records import wanted_records
from pkg.environments import queries as environments
from pkg.errors import Internal
from pkg.routes import queries as routes
from sealift.ctrl.v1 import domain_pb2 as pb

_STATUSES = {
    DomainStatus.PENDING: pb.DOMAIN_STATUS_PENDING,
    DomainStatus.ACTIVE: pb.DOMAIN_STATUS_ACTIVE,
    DomainStatus.LOST: pb.DOMAIN_STATUS_LOST,
}


@dataclass(frozen=True)
class View:
    """A domain with what belongs to it.

    Attributes:
        target: the environment's own hostname, which a CNAME names.
        deployment_id: that answers there; "" if none does.
    """

    domain: Domain
    environment_slug: str
    target: str
    deployment_id: str


def view(connection: Connection, domain: Domain, ingress: Ingress) -> View:
    """Reads what belongs to the domain."""
    environment = environments.get(connection, domain.environment_id)
    if environment is None:
        raise Internal("domain.environment_gone", f"the environment of {domain.id} is gone")
    route = routes.get(connection, domain.hostname) if domain.status is DomainStatus.ACTIVE else None
    return View(
        domain,
        environment.slug,
        environment_hostname(connection, environment, ingress.apex_domain),
        "" if route is None else route.deployment_id,
    )


def views(connection: Connection, domains: Sequence[Domain], ingress: Ingress) -> list[View]:
    """The same of many, which share few environments."""
    places: dict[str, View] = {}
    for domain in domains:
        if domain.environment_id not in places:
            places[domain.environment_id] = view(connection, domain, ingress)
    holders = routes.holders(connection, [d.hostname for d in domains if d.status is DomainStatus.ACTIVE])
    return [
        replace(places[domain.environment_id], domain=domain, deployment_id=holders.get(domain.hostname, ""))
        for domain in domains
    ]


def render(found: View, ingress: Ingress) -> pb.Domain:
    """The domain with the records to set: as the last check saw them, or as they are wanted before it."""
    domain = found.domain
    records = domain.records or wanted_records(domain.name, domain.token, found.target, addresses=())
    return pb.Domain(
        domain_id=domain.id,
        project_id=domain.project_id,
        environment_id=domain.environment_id,
        environment_slug=found.environment_slug,
        hostname=domain.hostname,
        unicode_hostname=domain.name.unicode,
        status=_STATUSES[domain.status],
        records=[_record(record) for record in records],
        reason=domain.reason,
        warnings=domain.warnings,
        url=ingress.url(domain.hostname),
        deployment_id=found.deployment_id,
        created_at=domain.created_at,
        verified_at=domain.verified_at or 0,
        checked_at=domain.checked_at or 0,
        next_check_at=domain.next_check_at or 0,
    )


def _record(record: RecordCheck) -> pb.DomainRecord:
    return pb.DomainRecord(
        type=record.type,
        name=record.name,
        wanted=record.wanted,
        found=record.found,
        is_right=record.is_right,
        reason=record.reason,
    )
