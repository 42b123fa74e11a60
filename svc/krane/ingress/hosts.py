"""What is served of a hostname beside its route: answers to challenges, a redirect to HTTPS, the api. No I/O."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from svc.krane.ingress.certificates import Certificates
from svc.krane.ingress.hostnames import WILDCARD, hostname_problem
from svc.krane.ingress.port import Challenge
from svc.krane.ingress.resources import JsonDict
from svc.krane.ingress.tls import TlsSpec

CHALLENGE_PATH = "/.well-known/acme-challenge/"
HTTPS_PORT = 443

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_KEY_AUTHORIZATION = re.compile(r"[A-Za-z0-9._-]{1,512}")


@dataclass(frozen=True)
class HostOptions:
    """What a hostname has beside its route.

    Attributes:
        challenges: Answered whether or not there is a route.
        is_redirected: Whether plain HTTP is redirected to HTTPS, but for challenges.
        is_api: It is the hostname of the api.
    """

    challenges: tuple[Challenge, ...] = ()
    is_redirected: bool = False
    is_api: bool = False


class Hosts:
    """The options of all hostnames.

    Attributes:
        generation: Counts the changes.
        acked: The generation that Envoy has acknowledged.
        api_hostname: The hostname of the api; "" for none.
    """

    def __init__(self, tls: TlsSpec | None, api_hostname: str, certificates: Certificates) -> None:
        self.generation = 0
        self.acked = 0
        self.api_hostname = api_hostname
        self._redirects = tls is not None and tls.redirect
        self._certificates = certificates
        self._challenges: dict[str, tuple[Challenge, ...]] = {}
        self._all: dict[str, Challenge] = {}
        self._invalid: dict[str, str] = {}
        self._behind_since = 0

    def set_challenges(self, challenges: Mapping[str, Challenge], version: int) -> bool:
        """Replaces all challenges; whether anything changed. `version`: of the desired state that has them."""
        if challenges == self._all:
            return False
        self._all = dict(challenges)
        by_hostname: dict[str, list[Challenge]] = {}
        self._invalid = {}
        for token, challenge in sorted(challenges.items()):
            if problem := _problem(challenge):
                self._invalid[token] = problem
            else:
                by_hostname.setdefault(challenge.hostname, []).append(challenge)
        self._challenges = {hostname: tuple(found) for hostname, found in by_hostname.items()}
        self._changed(version)
        return True

    def certificates_changed(self, version: int) -> None:
        """Certificates are others since `version` of the desired state, and with them perhaps the redirects."""
        if self._redirects:
            self._changed(version)

    def _changed(self, version: int) -> None:
        if self.acked == self.generation:
            self._behind_since = version
        self.generation += 1

    def options(self, hostname: str) -> HostOptions:
        """Of one hostname."""
        is_redirected = self._redirects and self._certificates.covers(hostname)
        return HostOptions(self._challenges.get(hostname, ()), is_redirected, hostname == self.api_hostname)

    def without_route(self) -> frozenset[str]:
        """The hostnames that are served whether or not they have a route."""
        return frozenset(self._challenges) | ({self.api_hostname} - {""})

    def applied_version(self, version: int) -> int:
        """`version`, or the highest of which Envoy has acknowledged every change of options."""
        return version if self.acked == self.generation else min(version, self._behind_since - 1)

    def problems(self) -> list[str]:
        """The challenges that are not answered, and why."""
        return [f"{self._all[token].hostname}: {why}" for token, why in sorted(self._invalid.items())]


def _problem(challenge: Challenge) -> str:
    if not _TOKEN.fullmatch(challenge.token):
        return "the token of its challenge is not 1..128 of A-Z, a-z, 0-9, - and _"
    if not _KEY_AUTHORIZATION.fullmatch(challenge.key_authorization):
        return "the answer to its challenge is not 1..512 of A-Z, a-z, 0-9, ., - and _"
    return hostname_problem(challenge.hostname)


def routes_before(hostname: str, options: HostOptions, tls: TlsSpec | None) -> list[JsonDict]:
    """The routes of a virtual host that precede those of its app: challenges, then the redirect."""
    routes: list[JsonDict] = [
        {
            "match": {"path": CHALLENGE_PATH + one.token},
            "direct_response": {"status": 200, "body": {"inline_string": one.key_authorization}},
        }
        for one in options.challenges
    ]
    if options.is_redirected and tls is not None:
        headers = [*_PLAIN, *_names_of_certificate(hostname)]
        routes.append({"match": {"prefix": "/", "headers": headers}, "redirect": redirect(hostname, tls)})
    return routes


def _names_of_certificate(hostname: str) -> list[JsonDict]:
    """Of the names below a wildcard, those that its certificate is for: one label, while the route takes any number."""
    if not hostname.startswith(WILDCARD):
        return []
    one_label = rf"(?i)[^.]+\.{re.escape(hostname.removeprefix(WILDCARD))}\.?(:[0-9]*)?"
    return [{"name": ":authority", "string_match": {"safe_regex": {"regex": one_label}}}]


# What came by plain HTTP, to this listener or to a trusted proxy, and is no challenge: of these, one that is not
# known here is the app's.
_PLAIN: list[JsonDict] = [
    {"name": "x-forwarded-proto", "string_match": {"exact": "http", "ignore_case": True}},
    {"name": ":path", "string_match": {"prefix": CHALLENGE_PATH}, "invert_match": True},
]


def redirect(hostname: str, tls: TlsSpec) -> JsonDict:
    """To the same by HTTPS. The method and its body stay (308).

    The usual port is not written, but for names below a wildcard.
    """
    has_name = tls.public_port == HTTPS_PORT and not hostname.startswith(WILDCARD)
    where: JsonDict = {"host_redirect": hostname} if has_name else {"port_redirect": tls.public_port}
    return {"scheme_redirect": "https", "response_code": "PERMANENT_REDIRECT", **where}
