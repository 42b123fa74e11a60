"""What may be added, and when DNS is asked again. Pure."""

import hashlib
import hmac
from dataclasses import dataclass

from pkg.domains.names import WILDCARD, DomainName
from pkg.errors import InvalidArgument, ResourceExhausted
from pkg.hostnames import MAX_HOSTNAME_OCTETS

MAX_PER_ENVIRONMENT = 200
MAX_PER_PROJECT = 500
MAX_PER_WORKSPACE = 2000

CHALLENGE_LABEL = "_sealift-challenge"
_TOKEN_PREFIX = "sealift-domain-"  # noqa: S105 - public: it is in DNS
_TOKEN_DIGITS = 40

SOONEST_CHECK_MS = 5_000
LATEST_CHECK_MS = 3600 * 1000
ACTIVE_CHECK_MS = 6 * 3600 * 1000
SOONEST_ACTIVE_CHECK_MS = 60_000
GIVE_UP_AFTER_MS = 14 * 24 * 3600 * 1000
_PAUSE_OF_AGE = 8  # the pause is an eighth of the time for which the same has been waited for


@dataclass(frozen=True)
class InstallationNames:
    """Hostnames that no domain may be, or cover.

    Attributes:
        apex_domain: of the generated hostnames.
        api_hostname: of the installation itself; "" if it has none but the apex.
    """

    apex_domain: str
    api_hostname: str = ""

    @property
    def all(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys(filter(None, (self.apex_domain, self.api_hostname))))


@dataclass(frozen=True)
class Counts:
    """How many domains there are already."""

    environment: int
    project: int
    workspace: int


def token_of(key: bytes, workspace_id: str, name: DomainName) -> str:
    """What the workspace puts into the TXT record: nobody else's, and the same when the domain is added again."""
    digest = hmac.new(key, f"{workspace_id}\0{name.base}".encode(), hashlib.sha256).hexdigest()
    return _TOKEN_PREFIX + digest[:_TOKEN_DIGITS]


def challenge_name(name: DomainName) -> str:
    """Where the TXT record is looked for; the same for a wildcard and its base."""
    return f"{CHALLENGE_LABEL}.{name.base}"


def check_name(name: DomainName, installation: InstallationNames, *, wildcard_refusal: str) -> None:
    """Refuses names of the installation itself, and a wildcard where no certificate for one can be had.

    Args:
        name: the domain.
        installation: its own names.
        wildcard_refusal: why a wildcard gets no certificate here; "" when it does.

    Raises:
        InvalidArgument: `domain.reserved`, `domain.wildcard`, or that the name is too long to be proven.
    """
    for own in installation.all:
        if name.base == own or name.base.endswith(f".{own}"):
            raise InvalidArgument(
                "hostname",
                f"{name.hostname} belongs to this installation ({own}): names below it are given to deployments; "
                "add a domain of your own",
                code="domain.reserved",
            )
        if name.is_wildcard and own.endswith(f".{name.base}"):
            raise InvalidArgument(
                "hostname",
                f"{name.hostname} would cover {own}, which is this installation's own: add the names that you need, "
                "one by one",
                code="domain.reserved",
            )
    if len(challenge_name(name)) > MAX_HOSTNAME_OCTETS:
        raise InvalidArgument("hostname", f"{name.hostname} leaves no room for {CHALLENGE_LABEL} before it")
    if name.is_wildcard and wildcard_refusal:
        raise InvalidArgument(
            "hostname",
            f"{name.hostname} is a wildcard: {wildcard_refusal}; add the names that you need, one by one",
            code="domain.wildcard",
        )


def check_counts(counts: Counts) -> None:
    """Refuses one more domain than there may be.

    Raises:
        ResourceExhausted: `domain.too_many`, naming the limit.
    """
    for what, count, limit in (
        ("environment", counts.environment, MAX_PER_ENVIRONMENT),
        ("project", counts.project, MAX_PER_PROJECT),
        ("workspace", counts.workspace, MAX_PER_WORKSPACE),
    ):
        if count >= limit:
            raise ResourceExhausted(
                "domain.too_many",
                f"This {what} has {count} domains, which is the limit: remove one that is not needed any more "
                "(`sealift domains rm`).",
            )


def covers(wildcard: str, hostname: str) -> bool:
    """Whether requests for `hostname`, itself perhaps a wildcard, may go to the route of `wildcard`."""
    base = wildcard.removeprefix(WILDCARD)
    return wildcard not in (base, hostname) and hostname.endswith(f".{base}")


def collide(one: str, other: str) -> bool:
    """Whether two domains must not be of different workspaces: they are the same, or one covers the other."""
    return one == other or covers(one, other) or covers(other, one)


def wildcards_above(hostname: str) -> list[str]:
    """Every wildcard that covers the hostname, which may be one itself."""
    labels = hostname.removeprefix(WILDCARD).split(".")
    first = 0 if not hostname.startswith(WILDCARD) else 1
    return [f"{WILDCARD}{'.'.join(labels[i:])}" for i in range(max(1, first), len(labels))]


def next_check_at(*, is_active: bool, is_right: bool, since: int, now: int) -> int | None:
    """When DNS is asked again, epoch ms; None: only when a user asks.

    The pause grows with the time for which the same has been waited for: 5 s at first, an hour after eight hours.

    Args:
        is_active: it was proven before.
        is_right: the last check found nothing wrong.
        since: since when it is as it is, epoch ms.
        now: epoch ms.
    """
    age = max(0, now - since)
    if is_active:
        pause = ACTIVE_CHECK_MS if is_right else max(SOONEST_ACTIVE_CHECK_MS, age // _PAUSE_OF_AGE)
        return now + min(pause, ACTIVE_CHECK_MS)
    if age >= GIVE_UP_AFTER_MS:
        return None
    return now + min(max(SOONEST_CHECK_MS, age // _PAUSE_OF_AGE), LATEST_CHECK_MS)
