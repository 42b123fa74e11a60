"""Which names are to have a certificate, and how it is obtained. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pkg.certificates.config import Tls
from pkg.certificates.model import ChallengeKind, Issuer
from pkg.hostnames import Sticky, is_reserved, label_of

# Of the generated hostnames, those that stay while deployments come and go.
_STABLE = frozenset({Sticky.LIVE, Sticky.ENVIRONMENT})


@dataclass(frozen=True)
class RoutedName:
    """A generated hostname that is routed."""

    hostname: str
    sticky: Sticky
    workspace_id: str


@dataclass(frozen=True)
class ActiveDomain:
    """A domain that is active; it may be a wildcard ("*.example.com")."""

    hostname: str
    workspace_id: str


@dataclass(frozen=True)
class Wanted:
    """A certificate that is to exist.

    Attributes:
        names: that it is for; the first one is its name.
        workspace_id: whose; None: the installation's.
        directory: of the ACME server; "": the local authority.
    """

    names: tuple[str, ...]
    workspace_id: str | None
    issuer: Issuer
    challenge: ChallengeKind
    directory: str = ""

    @property
    def name(self) -> str:
        """Identifies it."""
        return self.names[0]


@dataclass(frozen=True)
class Wants:
    """What is to have a certificate.

    Attributes:
        notices: which names get none and why, for people.
    """

    certificates: tuple[Wanted, ...]
    notices: tuple[str, ...] = ()


def wanted(
    tls: Tls, *, apex: str, api_hostname: str, routes: Iterable[RoutedName], domains: Iterable[ActiveDomain]
) -> Wants:
    """The certificates that are to exist, by name.

    Args:
        tls: who issues.
        apex: below which every generated hostname is a label.
        api_hostname: the installation's own; "": it has none.
        routes: what is routed; domains of users among them are not looked at.
        domains: all active ones.
    """
    if not tls.enabled:
        return Wants((), ("[tls] is not enabled: everything is served by plain HTTP.",))
    found: dict[str, Wanted] = {}
    notices: list[str] = []
    generated = [route for route in routes if label_of(route.hostname, apex) is not None]
    wildcard = _wildcard(tls, apex)
    if wildcard is not None:
        found[wildcard.name] = wildcard
    else:
        for one in _without_wildcard(tls, generated):
            found[one.name] = one
        if any(route.sticky not in _STABLE for route in generated):
            notices.append(
                "Hostnames of branches, commits and single deployments have no certificate and are served by plain "
                f"HTTP: they need a certificate for *.{apex}, which needs a DNS server in [tls.dns]."
            )
    if api_hostname and not (wildcard and (api_hostname == apex or label_of(api_hostname, apex))):
        found[api_hostname] = _single(tls, api_hostname, None)
    for domain in domains:
        if is_reserved(domain.hostname.removeprefix("*."), apex):
            continue
        if (
            domain.hostname.startswith("*.")
            and _issuer(tls, domain.hostname) is Issuer.ACME
            and not by_dns(tls, domain.hostname)
        ):
            notices.append(
                f"{domain.hostname} has no certificate: a wildcard needs a DNS server in [tls.dns] that may change "
                f"the zone of {domain.hostname.removeprefix('*.')}."
            )
            continue
        found[domain.hostname] = _single(tls, domain.hostname, domain.workspace_id)
    return Wants(tuple(found[name] for name in sorted(found)), tuple(notices))


def _wildcard(tls: Tls, apex: str) -> Wanted | None:
    """The certificate of all generated hostnames, if the issuer can do it."""
    issuer = _issuer(tls, apex)
    if issuer is Issuer.LOCAL:
        return Wanted((apex, f"*.{apex}"), None, issuer, ChallengeKind.NONE)
    if by_dns(tls, apex):
        return Wanted((apex, f"*.{apex}"), None, issuer, ChallengeKind.DNS_01, tls.directory)
    return None


def _without_wildcard(tls: Tls, routes: Iterable[RoutedName]) -> Iterator[Wanted]:
    for route in routes:
        if route.sticky in _STABLE:
            yield _single(tls, route.hostname, route.workspace_id)


def _single(tls: Tls, hostname: str, workspace_id: str | None) -> Wanted:
    issuer = _issuer(tls, hostname)
    if issuer is Issuer.LOCAL:
        return Wanted((hostname,), workspace_id, issuer, ChallengeKind.NONE)
    challenge = ChallengeKind.DNS_01 if by_dns(tls, hostname) else ChallengeKind.HTTP_01
    return Wanted((hostname,), workspace_id, issuer, challenge, tls.directory)


def _issuer(tls: Tls, hostname: str) -> Issuer:
    """No authority on the internet issues for .localhost (RFC 6761)."""
    is_public = hostname != "localhost" and not hostname.endswith(".localhost")
    return Issuer.ACME if tls.uses_acme and is_public else Issuer.LOCAL


def by_dns(tls: Tls, hostname: str) -> bool:
    """Whether a name is proven by DNS, as its zone takes updates; else by HTTP."""
    return tls.dns is not None and tls.dns.covers(hostname)
