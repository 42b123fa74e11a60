"""Converts exceptions to what callers get: a gRPC status with `google.rpc` details, over HTTP the same as JSON.

Details: ErrorInfo (our stable code as `reason`, metadata), BadRequest (the field at fault), RequestInfo (the request
id). An internal error says nothing but its request id; the rest is in the log.
"""

import errno
import logging

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2
from sqlalchemy.exc import OperationalError

from pkg.db.faults import DiskFullError
from pkg.errors import Internal, ResourceExhausted, SealiftError, Unavailable
from pkg.observability.logging import redact

DOMAIN = "sealift"
STATUS_DETAILS_KEY = "grpc-status-details-bin"
_MAX_MESSAGE_CHARS = 2048  # headers of an answer are limited to 8 KiB by many clients

log = logging.getLogger(__name__)


class Failure(Exception):  # noqa: N818 - what a caller gets, not what went wrong here
    """How a call failed, as the caller sees it.

    Attributes:
        error: with a message that is fit to leave the process.
        status: the same as `google.rpc.Status`, with details.
    """

    def __init__(self, error: SealiftError, request_id: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.status = _status(error, request_id)

    @property
    def grpc_code(self) -> grpc.StatusCode:
        """The gRPC status."""
        return grpc.StatusCode[self.error.grpc_status]


def failure_of(exception: Exception, request_id: str) -> Failure:
    """The failure that the caller receives for `exception`; logs what the caller must not see."""
    if isinstance(exception, SealiftError) and not isinstance(exception, Internal):
        return Failure(exception, request_id)
    if isinstance(exception, DiskFullError):
        log.error("the disk of %s is full", exception.path)
        message = (
            f"The server can't record anything: the disk that holds {exception.path} is full. Free space there, then "
            "try again. Deployments that are live stay live."
        )
        return Failure(ResourceExhausted("database.disk_full", message), request_id)
    if isinstance(exception, OSError) and exception.errno in (errno.ENOSPC, errno.EDQUOT):
        log.error("a disk is full", exc_info=exception)
        where = exception.filename or f"a path that its log has under {request_id}"
        message = f"The server's disk is full at {where}: free space there, then try again."
        return Failure(ResourceExhausted("server.disk_full", message), request_id)
    if isinstance(exception, OperationalError):
        # locked for over ten seconds, a full or failing disk, a server that went away: not the caller's fault
        log.error("the database failed", exc_info=exception)
        message = (
            f"The database does not answer: try again. The server's log has details under request id {request_id}."
        )
        return Failure(Unavailable("database.unavailable", message), request_id)
    log.error("internal error", exc_info=exception)
    message = f"Internal error: the server's log has details under request id {request_id}."
    return Failure(Internal("internal", message), request_id)


def _status(error: SealiftError, request_id: str) -> status_pb2.Status:
    message = redact(error.message)[:_MAX_MESSAGE_CHARS]
    status = status_pb2.Status(code=code_pb2.Code.Value(error.grpc_status), message=message)
    info = error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN)
    info.metadata.update({name: value[:256] for name, value in error.metadata.items()})
    status.details.add().Pack(info)
    if error.field is not None:
        bad = error_details_pb2.BadRequest()
        bad.field_violations.add(field=error.field, description=message)
        status.details.add().Pack(bad)
    status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))
    return status
