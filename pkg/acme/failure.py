"""What an ACME server refuses, and what becomes of a server that does not answer. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

MAX_TEXT_CHARS = 1500
MAX_SUBPROBLEMS = 20
_PREFIX = "urn:ietf:params:acme:error:"


class AcmeProblem(StrEnum):
    """What went wrong; the values are error codes (docs/errors.md)."""

    UNREACHABLE = "certificate.unreachable"  # no answer, or none that is ACME
    RATE_LIMITED = "certificate.rate_limited"
    VALIDATION = "certificate.validation_failed"  # the name could not be proven
    ACCOUNT = "certificate.account_refused"
    REFUSED = "certificate.refused"  # anything else that the authority says no to


class AcmeFailure(Exception):  # noqa: N818 - it says what the authority said
    """A call to an ACME server that did not succeed.

    Attributes:
        problem: what went wrong.
        acme_type: the problem document's type without its prefix, e.g. "rateLimited"; "" for none.
        message: for people, with the server's own words.
        retry_after_ms: that the server asked for; 0: it did not.
    """

    def __init__(self, problem: AcmeProblem, message: str, *, acme_type: str = "", retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.problem = problem
        self.acme_type = acme_type
        self.message = message
        self.retry_after_ms = retry_after_ms


_PROBLEMS: Mapping[str, AcmeProblem] = {
    "rateLimited": AcmeProblem.RATE_LIMITED,
    "accountDoesNotExist": AcmeProblem.ACCOUNT,
    "externalAccountRequired": AcmeProblem.ACCOUNT,
    "userActionRequired": AcmeProblem.ACCOUNT,
    "invalidContact": AcmeProblem.ACCOUNT,
    "unsupportedContact": AcmeProblem.ACCOUNT,
    "caa": AcmeProblem.VALIDATION,
    "connection": AcmeProblem.VALIDATION,
    "dns": AcmeProblem.VALIDATION,
    "incorrectResponse": AcmeProblem.VALIDATION,
    "tls": AcmeProblem.VALIDATION,
}


def of_document(document: Any, authority: str, *, retry_after_ms: int = 0, in_validation: bool = False) -> AcmeFailure:
    """The failure that a problem document (RFC 7807, with the subproblems of RFC 8555) describes.

    Args:
        document: as parsed from JSON; whatever it is, a failure comes out.
        authority: the server's hostname, for the message.
        retry_after_ms: that came with it.
        in_validation: it is about a challenge: "unauthorized" then means that the name was not proven.
    """
    fields = document if isinstance(document, dict) else {}
    acme_type = str(fields.get("type", "")).removeprefix(_PREFIX)
    problem = _PROBLEMS.get(acme_type, AcmeProblem.VALIDATION if in_validation else AcmeProblem.REFUSED)
    text = f"{authority} says: {_text(fields)}"[:MAX_TEXT_CHARS]
    return AcmeFailure(problem, text, acme_type=acme_type, retry_after_ms=retry_after_ms)


def _text(fields: Mapping[str, Any]) -> str:
    kind = str(fields.get("type", "")).removeprefix(_PREFIX)
    detail = _printable(str(fields.get("detail") or fields.get("title") or "no reason given"))
    shown = f"{detail} ({_printable(kind)})" if kind and kind != "about:blank" else detail
    below = fields.get("subproblems")
    listed = below[:MAX_SUBPROBLEMS] if isinstance(below, list) else []
    parts = [_subproblem(one) for one in listed if isinstance(one, dict)]
    return f"{shown}; {'; '.join(parts)}" if parts else shown


def _subproblem(fields: Mapping[str, Any]) -> str:
    identifier = fields.get("identifier")
    name = str(identifier.get("value", "")) if isinstance(identifier, dict) else ""
    detail = _printable(str(fields.get("detail") or fields.get("type") or ""))
    return f"{_printable(name)}: {detail}" if name else detail


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
