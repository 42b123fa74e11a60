"""Reads which names are to have a certificate."""

from sqlalchemy import Connection

from pkg.certificates.config import Tls
from pkg.certificates.wanted import RoutedName, VerifiedDomain, Wants, wanted
from pkg.config.sections import Ingress
from pkg.domains import queries as domains
from pkg.routes import queries as routes


def wants(connection: Connection, tls: Tls, ingress: Ingress) -> Wants:
    """As of now."""
    routed = [RoutedName(row.hostname, row.sticky, row.workspace_id) for row in routes.every(connection)]
    verified = [VerifiedDomain(row.hostname, row.workspace_id) for row in domains.verified_hostnames(connection)]
    return wanted(tls, apex=ingress.apex_domain, api_hostname=ingress.api_hostname, routes=routed, domains=verified)
