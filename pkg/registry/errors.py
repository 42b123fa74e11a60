"""What goes wrong with a registry: one kind for each, with its own code and words. Pure.

The same kinds come out of a registry's answer (`of_answer`) and out of the text in which an engine or a BuildKit
reports it (`of_text`), so that users read the same words whoever spoke to the registry.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus

from pkg.errors import SealiftError
from pkg.output.redact import shapes

MAX_SAID_CHARS = 300
MAX_RETRY_AFTER_S = 3600


class RegistryProblem(StrEnum):
    """Why a registry did not do what it was asked. The values are error codes after "registry."."""

    UNAUTHORIZED = "unauthorized"
    DENIED = "denied"
    NO_REPOSITORY = "no_repository"
    TOO_LARGE = "too_large"
    DELETE_OFF = "delete_off"
    UNTRUSTED = "untrusted"
    PLAIN_HTTP = "plain_http"
    OTHER_SCHEME = "other_scheme"
    IMMUTABLE = "immutable"
    UNEXPECTED = "unexpected"
    # The same request may succeed later.
    RATE_LIMITED = "rate_limited"
    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"
    FULL = "full"
    UNAVAILABLE = "unavailable"

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed later without a change of the configuration."""
        return self in _TEMPORARY


_TEMPORARY = frozenset({
    RegistryProblem.RATE_LIMITED, RegistryProblem.UNRESOLVED, RegistryProblem.UNREACHABLE, RegistryProblem.FULL,
    RegistryProblem.UNAVAILABLE,
})  # fmt: skip

_WORDS = {
    RegistryProblem.UNAUTHORIZED: "does not accept the credentials (401). Check username and password in {setting}; a "
    "password that is a token may have expired.",
    RegistryProblem.DENIED: "does not let this account do that (403), or has no such project. Grant it in the "
    "registry the right to {needs}, or set another account in {setting}.",
    RegistryProblem.NO_REPOSITORY: "has no such repository and does not create it on push. Create it in the registry, "
    "or set a registry in {setting} that creates repositories.",
    RegistryProblem.TOO_LARGE: "refuses a layer of this size (413). Raise the limit of the registry or of the proxy in "
    "front of it, or make the image's layers smaller.",
    RegistryProblem.DELETE_OFF: "does not delete images (405). Turn deletion on in the registry, or delete there what "
    "is not needed any more.",
    RegistryProblem.UNTRUSTED: "has a certificate that is not trusted here. Use one of a public authority, or install "
    "the registry's own authority: its file in ca_file of {setting} for this service, in "
    "/etc/docker/certs.d/{host}/ca.crt for a Docker engine, in `ca` of the registry in buildkitd.toml for a buildkitd.",
    RegistryProblem.PLAIN_HTTP: "speaks HTTP without TLS, which is accepted on loopback only. Give it a certificate, "
    "or put a proxy with one in front of it.",
    RegistryProblem.OTHER_SCHEME: "is asked by HTTPS and names addresses without TLS for what follows: pushes break "
    "off there. Let the proxy in front of it send X-Forwarded-Proto, or set http.relativeurls in the registry.",
    RegistryProblem.IMMUTABLE: "does not let a tag be pushed again, and a build that is repeated does so. Take its "
    "repositories below {host} out of the rule that makes tags immutable.",
    RegistryProblem.UNEXPECTED: "answered something that is not understood. Is {host} a container registry?",
    RegistryProblem.RATE_LIMITED: "limits how often it may be asked (429){when}. Wait, or use an account with a higher "
    "limit in {setting}.",
    RegistryProblem.UNRESOLVED: "has a name that can't be resolved. Check the host in {setting} and the DNS here.",
    RegistryProblem.UNREACHABLE: "can't be reached. Is it running, and may this machine connect to {host}?",
    RegistryProblem.FULL: "has no free space, or a quota is used up. Free space there, or raise the quota.",
    RegistryProblem.UNAVAILABLE: "has a fault of its own (5xx). See the registry's log.",
}


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why a registry is asked, for the words of errors.

    Attributes:
        setting: the section of the configuration that has the account, e.g. "[registry]".
        needs: what its account must be allowed to do, e.g. "push".
    """

    setting: str = "[registry]"
    needs: str = "push and pull"


class RegistryError(SealiftError):
    """A registry did not do what it was asked. Code `registry.<problem>`.

    Attributes:
        problem: why; whether it is temporary.
        said: the registry's own words, at most 300 characters; "" if it said nothing.
        retry_after_s: when the registry names a time, else None.
    """

    grpc_status = "FAILED_PRECONDITION"
    http_status = HTTPStatus.BAD_REQUEST

    def __init__(
        self, problem: RegistryProblem, message: str, *, said: str = "", retry_after_s: int | None = None
    ) -> None:
        super().__init__(f"registry.{problem}", message)
        self.problem = problem
        self.said = said
        self.retry_after_s = retry_after_s


def failure(
    problem: RegistryProblem,
    where: str,
    purpose: Purpose,
    *,
    said: str = "",
    retry_after_s: int | None = None,
) -> RegistryError:
    """The error, with its words for users and operators.

    Args:
        problem: what went wrong.
        where: the registry's host, with the repository if one was asked for.
        purpose: why it was asked.
        said: the registry's own words.
        retry_after_s: seconds after which it may be asked again, if it named them.
    """
    when = f", for {retry_after_s} s more" if retry_after_s else ""
    words = _WORDS[problem].format(
        setting=purpose.setting, needs=purpose.needs, host=where.partition("/")[0], when=when
    )
    said = shapes(said).strip()[:MAX_SAID_CHARS]
    quoted = f" It said: {said}" if said else ""
    return RegistryError(problem, f"The registry {where} {words}{quoted}", said=said, retry_after_s=retry_after_s)


def of_answer(status: int, body: bytes, challenge: str = "") -> tuple[RegistryProblem, str]:
    """The problem that an answer with an error status means, and the registry's own words.

    Args:
        status: of HTTP, from 400.
        body: as the distribution API has it: {"errors": [{"code", "message", "detail"}]}; anything else is accepted.
        challenge: the header WWW-Authenticate; a token that does not permit the request is named there.
    """
    codes, said = _errors(body)
    if status in _REFUSALS and (problem := next((one for one, text in _SAID if text.search(said)), None)):
        return problem, said
    if status == HTTPStatus.UNAUTHORIZED:
        is_denied = "insufficient_scope" in challenge or codes == {"DENIED"}
        return (RegistryProblem.DENIED if is_denied else RegistryProblem.UNAUTHORIZED), said
    if "NAME_UNKNOWN" in codes:
        return RegistryProblem.NO_REPOSITORY, said
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        is_full = status == HTTPStatus.INSUFFICIENT_STORAGE or _is_full(body.decode(errors="replace"))
        return (RegistryProblem.FULL if is_full else RegistryProblem.UNAVAILABLE), said
    return _BY_STATUS.get(status, RegistryProblem.UNEXPECTED), said or f"HTTP {status}"


# Refusals that share a status with others, in the words of registries.
_SAID = tuple(
    (problem, re.compile(pattern, re.IGNORECASE))
    for problem, pattern in (
        (RegistryProblem.UNAUTHORIZED, r"token (?:has|is) expired|expired token"),  # Amazon ECR, 403
        (RegistryProblem.FULL, r"exceed the configured upper limit|quota (?:has been )?exceeded"),  # Harbor, 403
        (RegistryProblem.IMMUTABLE, r"\bimmutab"),  # Harbor, 412; Amazon ECR and Google, 400
        # Harbor says 401 of an account that it knows, and of a project that does not exist
        (RegistryProblem.DENIED, r"unauthorized to access repository"),
    )
)
_REFUSALS = (
    HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED,
)  # fmt: skip

_BY_STATUS: dict[int, RegistryProblem] = {
    HTTPStatus.FORBIDDEN: RegistryProblem.DENIED,
    HTTPStatus.NOT_FOUND: RegistryProblem.NO_REPOSITORY,
    HTTPStatus.METHOD_NOT_ALLOWED: RegistryProblem.DELETE_OFF,
    HTTPStatus.REQUEST_TIMEOUT: RegistryProblem.UNREACHABLE,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: RegistryProblem.TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS: RegistryProblem.RATE_LIMITED,
}


def _errors(body: bytes) -> tuple[set[str], str]:
    try:
        errors = json.loads(body)["errors"]
        codes = {str(one.get("code", "")) for one in errors}
        said = "; ".join(str(one.get("message") or one.get("code", "")) for one in errors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set(), " ".join(body.decode(errors="replace").split())[:MAX_SAID_CHARS]
    return codes, said[:MAX_SAID_CHARS]


def _is_full(text: str) -> bool:
    return "no space left" in text.lower() or "ENOSPC" in text or re.search(r'"Err":\s*28\b', text) is not None


def retry_after_s(header: str | None, now: datetime | None = None) -> int | None:
    """Seconds in a Retry-After header, which has a number or a date; at most an hour. None: it names no time."""
    if not header:
        return None
    try:
        if header.strip().isdecimal():
            return min(MAX_RETRY_AFTER_S, int(header))
        at = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0, min(MAX_RETRY_AFTER_S, round((at - (now or datetime.now(UTC))).total_seconds())))


# What engines and BuildKits make of a registry's answer; the first that is found decides. Most are recorded from
# dockerd 20.10.
_TEXTS: tuple[tuple[RegistryProblem, re.Pattern[str]], ...] = _SAID + tuple(
    (problem, re.compile(pattern, re.IGNORECASE))
    for problem, pattern in (
        (RegistryProblem.OTHER_SCHEME, r"HTTP request (?:was sent )?to (?:an )?HTTPS (?:server|port)"),
        (RegistryProblem.PLAIN_HTTP, r"server gave HTTP response to HTTPS client"),
        (RegistryProblem.UNTRUSTED, r"x509: |tls: failed to verify certificate"),
        (RegistryProblem.UNRESOLVED, r"no such host|server misbehaving|Temporary failure in name resolution"),
        (RegistryProblem.RATE_LIMITED, r"toomanyrequests|too many requests|(?<!:)\b429\b"),
        (RegistryProblem.TOO_LARGE, r"(?<!:)\b413\b|request entity too large|payload too large"),
        (RegistryProblem.FULL, r"no space left on device|insufficient storage|(?<!:)\b507\b"),
        (
            RegistryProblem.NO_REPOSITORY,
            r"name unknown|repository .* (?:does not exist|not found)|NAME_UNKNOWN|\b404 not found",
        ),
        # an account that may not push is told "denied", one that is not known "unauthorized"
        (RegistryProblem.DENIED, r"\bdenied\b|insufficient_scope|(?<!:)\b403\b|forbidden"),
        (RegistryProblem.UNAUTHORIZED, r"unauthorized|no basic auth credentials|authentication required|(?<!:)\b401\b"),
        (
            RegistryProblem.UNREACHABLE,
            r"connection refused|connection reset|broken pipe|i/o timeout|no route to host|network is unreachable"
            r"|TLS handshake timeout|\bEOF\b|deadline exceeded|Client\.Timeout|connection timed out",
        ),
        (
            RegistryProblem.UNAVAILABLE,
            r"(?<!:)\b50[0-9]\b|internal server error|bad gateway|service unavailable|unknown: ",
        ),
    )
)


def of_text(text: str) -> RegistryProblem:
    """The problem behind an engine's or a BuildKit's message about a registry; UNEXPECTED for one that is not known."""
    return next((problem for problem, pattern in _TEXTS if pattern.search(text)), RegistryProblem.UNEXPECTED)
