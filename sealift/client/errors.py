"""Errors of the client, and the table that maps gRPC statuses to them.

    ClientError
    ├── InputError               an invalid field, option or file, refused by the client or the server
    ├── AuthError                no key, an invalid key, or a key without permission
    ├── NotFoundError
    ├── AlreadyExistsError
    ├── PreconditionError        valid request in the wrong state; the message says what to do first
    ├── LimitError               a limit was reached
    ├── AbortedError             lost a race; the same call may succeed
    ├── UnreachableError         no answer from the server; the same call may succeed
    ├── TimedOutError            an answer, but not in time
    └── ServerError              an error in the server; report its request id

The trailer `grpc-status-details-bin` holds the server's stable code (`google.rpc.ErrorInfo.reason`), its request id
(`RequestInfo`) and the field at fault (`BadRequest`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sealift.client.address import Address
from sealift.client.connection_problems import ConnectionProblem, not_the_api, problem_of

if TYPE_CHECKING:
    import grpc

REQUEST_ID_KEY = "x-request-id"
# Answers of an installation's ingress under a name that leads to an app, or to none.
_OF_APPS = ("ingress.unknown_host", "ingress.stopped", "ingress.no_healthy_instance")


class ClientError(Exception):
    """Base of every error of this package.

    Attributes:
        code: stable and dotted, e.g. "deployment.not_found"; docs/errors.md lists them.
        message: what happened, why, the next step. Contains no secret and no signed URL.
        field: the invalid input, e.g. "git_commit.timestamp", or None.
        request_id: the request's id in the server's log, or None.
    """

    default_code = "client.error"

    def __init__(
        self, message: str, *, code: str | None = None, field: str | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.field = field
        self.request_id = request_id


class InputError(ClientError):
    """An argument, a file or a setting is not valid."""

    default_code = "invalid_argument"


class AuthError(ClientError):
    """No key, an invalid key, or a key without permission."""

    default_code = "unauthenticated"


class NotFoundError(ClientError):
    """The workspace has no such resource."""

    default_code = "not_found"


class AlreadyExistsError(ClientError):
    """The name is taken, or the idempotency key was used for something else."""

    default_code = "already_exists"


class PreconditionError(ClientError):
    """A valid request in the wrong state."""

    default_code = "failed_precondition"


class LimitError(ClientError):
    """A limit was reached."""

    default_code = "resource_exhausted"


class AbortedError(ClientError):
    """Lost a race; the same call may succeed."""

    default_code = "aborted"


class UnreachableError(ClientError):
    """No answer from the server."""

    default_code = "unavailable"


class TimedOutError(ClientError):
    """No answer in time."""

    default_code = "deadline_exceeded"


class ServerError(ClientError):
    """An error in the server."""

    default_code = "internal"


# gRPC status name -> class. The tested contract of this package.
BY_STATUS: Mapping[str, type[ClientError]] = {
    "INVALID_ARGUMENT": InputError,
    "OUT_OF_RANGE": InputError,
    "UNAUTHENTICATED": AuthError,
    "PERMISSION_DENIED": AuthError,
    "NOT_FOUND": NotFoundError,
    "ALREADY_EXISTS": AlreadyExistsError,
    "FAILED_PRECONDITION": PreconditionError,
    "RESOURCE_EXHAUSTED": LimitError,
    "ABORTED": AbortedError,
    "UNAVAILABLE": UnreachableError,
    "DEADLINE_EXCEEDED": TimedOutError,
    "UNIMPLEMENTED": ServerError,
    "INTERNAL": ServerError,
    "UNKNOWN": ServerError,
    "DATA_LOSS": ServerError,
    "CANCELLED": UnreachableError,
}


def from_rpc(
    error: "grpc.aio.AioRpcError", server: Address, proxy: str = "", problem: ConnectionProblem | None = None
) -> ClientError:
    """The typed error of a failed call to `server`.

    Args:
        error: the failed call.
        server: that was called, for the message.
        proxy: the proxy in use, for the message; "" if none.
        problem: what is known about the connection beside the error.
    """
    status = error.code().name
    kind = BY_STATUS.get(status, ServerError)
    code, metadata = _error_info(error)
    message = error.details() or status.lower()
    if code is None:  # not from a Sealift server: from the transport, a proxy, or another program
        code = kind.default_code
        if problem := problem or connection_problem(error, server):
            return UnreachableError(f"can't reach the Sealift server: {problem.message}", code=problem.code)
        if kind is UnreachableError:
            message = _unreachable(server, _reason(message), proxy)
        elif kind is TimedOutError:
            message = f"the Sealift server at {server} did not answer in time" + (f", through {proxy}" if proxy else "")
        elif status == "UNIMPLEMENTED":
            message = (
                f"{server} does not support this call: it is an older Sealift server, or another program ({message})"
            )
    return kind(
        message,
        code=code,
        field=metadata.get("field"),
        request_id=metadata.get("request_id") or _text_trailer(error, REQUEST_ID_KEY),
    )


def connection_problem(error: "grpc.aio.AioRpcError", server: Address) -> ConnectionProblem | None:
    """What is wrong with the connection so that trying again does not help; None if the error shows nothing such."""
    if _text_trailer(error, "x-sealift-error") in _OF_APPS:
        return not_the_api(server)
    if error.code().name not in ("UNAVAILABLE", "UNKNOWN", "INTERNAL") or _error_info(error)[0] is not None:
        return None
    return problem_of(error.details() or "", server)


# Text of gRPC after which a look at the address, as a browser would ask it, tells more.
_OF_ANOTHER_PROTOCOL = ("ALPN property", "http1.x", "HTTP/2", "http2", "Socket closed", "reset", "Broken pipe")


def is_from_elsewhere(error: "grpc.aio.AioRpcError") -> bool:
    """Whether something else than a Sealift server may have answered."""
    status, details = error.code().name, error.details() or ""
    if status not in ("UNAVAILABLE", "UNKNOWN", "INTERNAL") or _error_info(error)[0] is not None:
        return False
    return status != "UNAVAILABLE" or any(mark in details for mark in _OF_ANOTHER_PROTOCOL)


def _unreachable(server: Address, why: str, proxy: str) -> str:
    if proxy:
        return (
            f"can't reach the Sealift server at {server} through {proxy} ({why}); check that the proxy is running and "
            f"allows that port. To connect directly, set NO_PROXY={server.host}"
        )
    hint = " (`make status` shows where a server on this machine listens)" if server.is_local else ""
    checks = f"check that it is running, and that the URL is right{hint}"
    return f"can't reach the Sealift server at {server} ({why}); {checks}"


def _error_info(error: "grpc.aio.AioRpcError") -> tuple[str | None, Mapping[str, str]]:
    """The server's code and metadata; (None, {}) if the status has no details."""
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo
    from google.rpc.status_pb2 import Status

    packed = _trailer(error, "grpc-status-details-bin")
    if not isinstance(packed, bytes):
        return None, {}
    status, info, request, bad = Status(), ErrorInfo(), RequestInfo(), BadRequest()
    try:
        status.ParseFromString(packed)
        for detail in status.details:
            for kind in (info, request, bad):
                detail.Unpack(kind)
    except DecodeError:
        return None, {}
    facts = dict(info.metadata)
    if request.request_id:
        facts["request_id"] = request.request_id
    for violation in bad.field_violations[:1]:
        facts.setdefault("field", violation.field)
    return info.reason or None, facts


def _trailer(error: "grpc.aio.AioRpcError", key: str) -> "str | bytes | None":
    for name, value in error.trailing_metadata() or ():
        if name == key:
            found: str | bytes = value
            return found
    return None


def _text_trailer(error: "grpc.aio.AioRpcError", key: str) -> str | None:
    value = _trailer(error, key)
    return value if isinstance(value, str) else None


# Text in gRPC's connection errors -> reason. The first match is used.
_REASONS: tuple[tuple[str, str], ...] = (
    ("Domain name not found", "unknown host name"),
    ("errors resolving", "the host name can't be resolved"),
    ("upstream connect error", "the proxy in front of it does not reach it"),
    ("no healthy upstream", "the proxy in front of it does not reach it"),
)


def _reason(details: str) -> str:
    """The reason of a failed connection, e.g. "Connection refused": from _REASONS, else the end of gRPC's text."""
    for mark, reason in _REASONS:
        if mark in details:
            return reason
    tail = details.rstrip("; ").rsplit(":", 1)[-1].strip()
    return tail.split(" (", 1)[0] if 0 < len(tail) < 120 else details[:200]
