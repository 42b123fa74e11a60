"""Errors with a stable code, and the one table that maps them to gRPC and HTTP.

    SealiftError
    ├── InvalidArgument      the caller's input; names the field
    ├── Unauthenticated      no key, or not a valid one
    ├── PermissionDenied     a valid key that may not do this
    ├── NotFound
    ├── AlreadyExists
    ├── FailedPrecondition   right request, wrong moment; says what to do first
    ├── ResourceExhausted    a limit was reached
    ├── Aborted              lost a race; the same call may succeed
    ├── Unavailable          a part is away; the same call may succeed
    └── Internal             our fault; details stay in the log

Messages are for users: what happened, the value at fault, why, the next step. They never hold a secret.
"""

from collections.abc import Mapping
from http import HTTPStatus


class SealiftError(Exception):
    """Base of every error that may leave a process.

    Attributes:
        code: stable, dotted, e.g. "deployment.not_found"; listed in docs/errors.md.
        message: for users.
        field: proto path of the input at fault, e.g. "git_commit.timestamp", or None.
        metadata: more facts for programs; short strings without secrets.
    """

    grpc_status = "INTERNAL"
    http_status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(
        self, code: str, message: str, *, field: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.metadata = dict(metadata or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class InvalidArgument(SealiftError):  # noqa: N818 - the names are gRPC's
    """The input is invalid. Takes the field first: every refusal names one."""

    grpc_status = "INVALID_ARGUMENT"
    http_status = HTTPStatus.BAD_REQUEST

    def __init__(self, field: str, message: str, *, code: str = "invalid_argument") -> None:
        super().__init__(code, f"{field}: {message}", field=field, metadata={"field": field})


class Unauthenticated(SealiftError):  # noqa: N818
    """No key, or not a valid one."""

    grpc_status = "UNAUTHENTICATED"
    http_status = HTTPStatus.UNAUTHORIZED


class PermissionDenied(SealiftError):  # noqa: N818
    """A valid key that may not do this."""

    grpc_status = "PERMISSION_DENIED"
    http_status = HTTPStatus.FORBIDDEN


class NotFound(SealiftError):  # noqa: N818
    """No such thing in the caller's workspace."""

    grpc_status = "NOT_FOUND"
    http_status = HTTPStatus.NOT_FOUND


class AlreadyExists(SealiftError):  # noqa: N818
    """The name is taken, or the idempotency key was used for something else."""

    grpc_status = "ALREADY_EXISTS"
    http_status = HTTPStatus.CONFLICT


class FailedPrecondition(SealiftError):  # noqa: N818
    """Right request, wrong moment; the message says what to do first."""

    grpc_status = "FAILED_PRECONDITION"
    http_status = HTTPStatus.BAD_REQUEST


class ResourceExhausted(SealiftError):  # noqa: N818
    """A limit was reached; the message names it."""

    grpc_status = "RESOURCE_EXHAUSTED"
    http_status = HTTPStatus.TOO_MANY_REQUESTS


class Aborted(SealiftError):  # noqa: N818
    """Lost a race; the same call may succeed."""

    grpc_status = "ABORTED"
    http_status = HTTPStatus.CONFLICT


class Unavailable(SealiftError):  # noqa: N818
    """A part is away; the same call may succeed soon."""

    grpc_status = "UNAVAILABLE"
    http_status = HTTPStatus.SERVICE_UNAVAILABLE


class Internal(SealiftError):  # noqa: N818
    """Our fault. The message that leaves the process is a fixed one with the request id; this one goes to the log."""


# Every class that a boundary may see, by gRPC status name: the tested contract of both transports.
BY_GRPC_STATUS: dict[str, type[SealiftError]] = {
    c.grpc_status: c
    for c in (
        InvalidArgument, Unauthenticated, PermissionDenied, NotFound, AlreadyExists, FailedPrecondition,
        ResourceExhausted, Aborted, Unavailable, Internal,
    )
}  # fmt: skip
