"""Errors of the client, and the one table that maps gRPC statuses to them.

    ClientError
    ├── InputError               refused before or by the server: names the field or the file
    ├── AuthError                no key, a wrong key, or a key that may not do this
    ├── NotFoundError
    ├── AlreadyExistsError
    ├── PreconditionError        right request, wrong moment; the message says what to do first
    ├── LimitError               a limit was reached
    ├── AbortedError             lost a race; the same call may succeed
    ├── UnreachableError         no answer from the server; the same call may succeed
    ├── TimedOutError            an answer, but not in time
    └── ServerError              the server's fault; quote its request id

The trailer `grpc-status-details-bin` holds the server's stable code (`google.rpc.ErrorInfo.reason`), its request id
(`RequestInfo`) and the field at fault (`BadRequest`).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

REQUEST_ID_KEY = "x-request-id"


class ClientError(Exception):
    """Base of every error of this package.

    Attributes:
        code: stable and dotted, e.g. "deployment.not_found"; docs/errors.md lists them.
        message: for people: what happened, why, the next step. Never holds a secret or a signed address.
        field: the input at fault, e.g. "git_commit.timestamp", or None.
        request_id: of the server's log line, or None.
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
    """An argument, a file or a setting is not acceptable."""

    default_code = "invalid_argument"


class AuthError(ClientError):
    """No key, a wrong key, or a key that may not do this."""

    default_code = "unauthenticated"


class NotFoundError(ClientError):
    """The workspace has no such thing."""

    default_code = "not_found"


class AlreadyExistsError(ClientError):
    """The name is taken, or the idempotency key was used for something else."""

    default_code = "already_exists"


class PreconditionError(ClientError):
    """Right request, wrong moment."""

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
    """The server's own fault."""

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


def from_rpc(error: "grpc.aio.AioRpcError", url: str, proxy: str = "") -> ClientError:
    """The typed error of a failed call to the server at `url`.

    Args:
        error: the failed call.
        url: of the server, for the message.
        proxy: the proxy that leads there, for the message; "" when it is reached directly.
    """
    status = error.code().name
    kind = BY_STATUS.get(status, ServerError)
    code, metadata = _error_info(error)
    message = error.details() or status.lower()
    if code is None:  # not from our server: the transport, a proxy, or another program on that port
        code = kind.default_code
        if kind is UnreachableError:
            message = _unreachable(url, _reason(message), proxy)
        elif kind is TimedOutError:
            message = f"the Sealift server at {url} did not answer in time" + (f", through {proxy}" if proxy else "")
        elif status == "UNIMPLEMENTED":
            message = f"{url} does not know this call: not a Sealift server, or an older one ({message})"
    return kind(
        message,
        code=code,
        field=metadata.get("field"),
        request_id=metadata.get("request_id") or _text_trailer(error, REQUEST_ID_KEY),
    )


def _unreachable(url: str, why: str, proxy: str) -> str:
    if not proxy:
        return f"can't reach the Sealift server at {url} ({why}); is it running, is --url right?"
    host = url.partition("://")[2].rpartition(":")[0] or url.partition("://")[2]
    return (
        f"can't reach the Sealift server at {url} through {proxy} ({why}); does the proxy run and let you through to "
        f"that port? To go there directly, set NO_PROXY={host.strip('[]')}"
    )


def _error_info(error: "grpc.aio.AioRpcError") -> tuple[str | None, Mapping[str, str]]:
    """The server's code and facts, or (None, {}) when the status has none."""
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


# What gRPC says somewhere in its connection errors -> what it means. The first one found counts.
_REASONS: tuple[tuple[str, str], ...] = (
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted here"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS: http:// may be meant"),
    ("http1.x server", "that is an HTTP port, the gRPC port is meant"),
    ("Domain name not found", "unknown host name"),
    ("errors resolving", "the host name can't be resolved"),
)


def _reason(details: str) -> str:
    """Why there is no connection, e.g. "Connection refused": in our words, else the telling end of gRPC's long ones."""
    for mark, words in _REASONS:
        if mark in details:
            return words
    tail = details.rstrip("; ").rsplit(":", 1)[-1].strip()
    return tail.split(" (", 1)[0] if 0 < len(tail) < 120 else details[:200]
