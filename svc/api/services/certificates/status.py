"""Managed certificates as the api shows them."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from pkg.certificates import orders, queries
from pkg.certificates.model import Certificate, Issuer, ManagedCertificate, Order
from pkg.desired.capabilities import CERTIFICATE
from pkg.regions import queries as regions
from pkg.regions.capabilities import lacking
from pkg.regions.silence import silences
from sealift.ctrl.v1 import acme_pb2 as pb

_ISSUERS = {Issuer.LOCAL: pb.CERTIFICATE_ISSUER_LOCAL, Issuer.ACME: pb.CERTIFICATE_ISSUER_ACME}


@dataclass(frozen=True)
class Shown:
    """What is read about one."""

    managed: ManagedCertificate
    certificate: Certificate | None
    is_ordered: bool
    pending_regions: tuple[str, ...]


def shown(connection: Connection, managed: ManagedCertificate, ordered: Collection[str], now: int) -> Shown:
    """Everything about one; `ordered`: the names with an order under way."""
    found = queries.certificate(connection, managed.certificate_id or "")
    behind: list[str] = []
    if found is not None:
        known = regions.every(connection)
        silent = silences(known, now)
        in_contact = [one for one in known if one.name not in silent]
        unable = {name for name, _ in lacking(in_contact, {CERTIFICATE.capability})}
        behind = sorted({*unable, *regions.behind(connection, [one.name for one in in_contact], found.version)})
    return Shown(managed, found, managed.name in ordered, tuple(behind))


def ordered_names(connection: Connection) -> frozenset[str]:
    """The names with an order under way."""
    return frozenset(order.name for order in orders.active(connection))


def find(connection: Connection, hostname: str, workspace_id: str) -> ManagedCertificate | None:
    """The one of that name, or that covers the hostname: an exact name before a wildcard."""
    visible = [row for row in queries.managed(connection) if row.workspace_id in (None, workspace_id)]
    wildcard = f"*.{hostname.partition('.')[2]}"
    for name in (hostname, wildcard):
        exact = next((row for row in visible if row.name == name), None)
        found = exact or next((row for row in visible if name in row.names_json), None)
        if found is not None:
            return found
    return None


def render(one: Shown, now: int) -> pb.ManagedCertificate:
    """The message."""
    managed, found = one.managed, one.certificate
    if found is None:
        state = pb.CERTIFICATE_STATE_MISSING
    else:
        state = pb.CERTIFICATE_STATE_EXPIRED if found.not_after <= now else pb.CERTIFICATE_STATE_VALID
    return pb.ManagedCertificate(
        name=managed.name,
        names=managed.names_json,
        issuer=_ISSUERS[managed.issuer],
        challenge=managed.challenge,
        state=state,
        certificate_id="" if found is None else found.id,
        not_before=0 if found is None else found.not_before,
        not_after=0 if found is None else found.not_after,
        is_ordered=one.is_ordered,
        next_order_at=managed.due_at,
        failures=managed.failures,
        error_code=managed.error_code or "",
        error_message=managed.error_message or "",
        failed_at=managed.failed_at or 0,
        pending_regions=one.pending_regions,
    )


def render_order(order: Order) -> pb.CertificateOrder:
    """The message."""
    return pb.CertificateOrder(
        order_id=order.id,
        status=order.status,
        error_code=order.error_code or "",
        error_message=order.error_message or "",
        created_at=order.created_at,
        ended_at=order.ended_at or 0,
    )
