"""Reads which names are to have a certificate."""

from sqlalchemy import Connection

from pkg.certificates.config import Tls
from pkg.certificates.wanted import ActiveDomain, RoutedName, Wants, wanted
from pkg.config.sections import Ingress
from pkg.domains import queries as domains
from pkg.routes import queries as routes


def wants(connection: Connection, tls: Tls, ingress: Ingress) -> Wants:
    """As of now."""
    return _wants(connection, tls, ingress, None)


def notices(connection: Connection, tls: Tls, ingress: Ingress, workspace_id: str) -> tuple[str, ...]:
    """Which names of the workspace get none and why, for people."""
    return _wants(connection, tls, ingress, workspace_id).notices


def _wants(connection: Connection, tls: Tls, ingress: Ingress, workspace_id: str | None) -> Wants:
    routed = [RoutedName(row.hostname, row.sticky, row.workspace_id) for row in routes.every(connection)]
    active = [ActiveDomain(row.hostname, row.workspace_id) for row in domains.every_active(connection)]
    return wanted(
        tls,
        apex=ingress.apex_domain,
        api_hostname=ingress.api_hostname,
        routes=[one for one in routed if workspace_id in (None, one.workspace_id)],
        domains=[one for one in active if workspace_id in (None, one.workspace_id)],
    )
