"""What an S3 server or the way to it refuses, in words for the operator: what happened, and the key to change."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from pkg.errors import ResourceExhausted, SealiftError, Unavailable
from pkg.storage.errors import not_found
from pkg.storage.s3.settings import S3Settings

S3_CODE = "s3_code"  # of the metadata of an error that the server answered with

_BUSY = frozenset(
    {"SlowDown", "ServiceUnavailable", "RequestLimitExceeded", "TooManyRequests", "Throttling", "503", "429"}
)
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity", "EntityTooLarge", "507", "413"})
_DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "AccountProblem", "403"})


class UnreadableAnswerError(Exception):
    """The server's answer is not one of S3: something is missing in it, or is not what it should be."""


# What boto3 raises for such an answer; it checks nothing of it.
UNREADABLE = (ResponseParserError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError)

# Everything that a call of boto3, or reading a body of it, raises for what is not our fault. It recurses without end
# at a server that redirects every request.
S3_ERRORS = (BotoCoreError, ClientError, RecursionError, UnreadableAnswerError)


def code_of(error: ClientError) -> str:
    """The code of the server's answer, such as "NoSuchKey"; its status where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def explain(error: Exception, config: S3Settings, path: str) -> SealiftError:
    """The error that callers get instead of `error`: `object.not_found`, `object.disk_full` or `object.unavailable`."""
    if isinstance(error, ClientError):
        if code_of(error) in ("NoSuchKey", "404", "NotFound"):
            return not_found(path)
        if code_of(error) in _FULL:
            return ResourceExhausted(
                "object.disk_full",
                f"the S3 server at {config.url} takes no more objects ({code_of(error)}): free space there, or"
                f" raise the quota of bucket {config.bucket}",
            )
        return Unavailable("object.unavailable", _refused(error, config), metadata={S3_CODE: code_of(error)})
    if isinstance(error, UnreadableAnswerError):
        message = f"{config.url} answered something that is not understood. Is [objects] url that of an S3 server?"
        return Unavailable("object.unavailable", message)
    return Unavailable("object.unavailable", _unreachable(error, config))


def too_slow(config: S3Settings, timeout_s: float) -> Unavailable:
    """The error of a request that makes progress, but too little."""
    return Unavailable(
        "object.unavailable",
        f"the S3 server at {config.url} did not end its answer within {timeout_s:.0f} s: look at the S3 server and the"
        " network to it",
    )


def _refused(error: ClientError, config: S3Settings) -> str:
    code, server = code_of(error), f"the S3 server at {config.url}"
    match code:
        case "NoSuchBucket":
            return (
                f"{server} has no bucket {config.bucket}: it was deleted, or [objects] bucket is wrong. It is made at"
                " the api's next start"
            )
        case "BucketAlreadyExists":
            return f"bucket {config.bucket} of {server} belongs to another account: choose another [objects] bucket"
        case "InvalidBucketName":
            return f"{server} takes no bucket named {config.bucket}: choose another [objects] bucket"
        case "InvalidAccessKeyId":
            return f"{server} does not know the access key: correct [objects] access_key_id"
        case "SignatureDoesNotMatch":
            return (
                f"{server} refused the signature: [objects] access_key_secret is not that of access_key_id, or a proxy"
                " between changes the Host header of [objects] url"
            )
        case "RequestTimeTooSkewed" | "RequestExpired":
            return f"{server} refused the request's time: {_skew(error)}. Synchronize the clocks of both machines"
        case "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" | "InvalidLocationConstraint":
            expected = error.response.get("Error", {}).get("Region", "")
            return f"{server} is in another region than {config.region!r}: set [objects] region" + (
                f' = "{expected}"' if expected else ""
            )
        case "PermanentRedirect" | "TemporaryRedirect" | "301" | "307":
            return _redirected(config)
    if code in _DENIED:
        return (
            f"{server} denies the access key what it needs in bucket {config.bucket}: allow it to"
            " list, read, write and delete objects, and to make the bucket unless it exists, or change [objects]"
            " access_key_id"
        )
    if code in _BUSY:
        return f"{server} is too busy ({code}), at each of several attempts: try again later"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    return f"{server} answered {status} {code}: {_text(error)}. Is [objects] url that of an S3 server?"


def _redirected(config: S3Settings) -> str:
    return f"bucket {config.bucket} is not at {config.url}: set [objects] url and region to those of the bucket"


def _unreachable(error: Exception, config: S3Settings) -> str:
    if isinstance(error, RecursionError):
        return _redirected(config)
    cause = _cause(error)
    if isinstance(error, SSLError) or "CERTIFICATE" in cause.upper():
        return (
            f"TLS with {config.url} failed ({cause}): correct [objects] url, or name the file of its certificate"
            " authority in AWS_CA_BUNDLE of api and worker"
        )
    if isinstance(error, EndpointConnectionError | HTTPClientError) and (
        "Name or service not known" in cause or "getaddrinfo" in cause or "name resolution" in cause
    ):
        return f"the host of {config.url} is unknown: correct [objects] url, or the DNS of this machine"
    if isinstance(error, ConnectTimeoutError):
        return f"{config.url} can't be connected to in time: is [objects] url right, and no firewall between?"
    if isinstance(error, ReadTimeoutError):
        return f"{config.url} accepted the request and did not answer in time: look at the S3 server"
    if isinstance(error, EndpointConnectionError):
        return f"nothing answers at {config.url} ({cause}): is the S3 server running, and [objects] url right?"
    if isinstance(error, ConnectionClosedError | IncompleteReadError | ResponseStreamingError):
        return f"{config.url} closed the connection in the middle of an object: look at the S3 server"
    return f"the request to {config.url} failed ({type(error).__name__}): see [objects]"


def _cause(error: BaseException) -> str:
    """The text of the innermost error; botocore's own has the URL of the request."""
    while (inner := error.__cause__ or getattr(error, "kwargs", {}).get("error") or _reason(error)) is not None:
        if not isinstance(inner, BaseException) or inner is error:
            break
        error = inner
    return str(getattr(error, "strerror", None) or type(error).__name__)[:200]


def _reason(error: BaseException) -> Any:
    return getattr(error, "reason", None) or error.__context__


def _text(error: ClientError) -> str:
    text = str(error.response.get("Error", {}).get("Message", ""))
    return " ".join("".join(c for c in text if c.isprintable()).split())[:200]


def _skew(error: ClientError) -> str:
    sent = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        behind_s = (parsedate_to_datetime(sent) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return "its clock and this machine's differ"
    return f"its clock is {abs(behind_s):.0f} s {'ahead of' if behind_s > 0 else 'behind'} this machine's"
