"""From the error of a Solve call to a `SolveError`. Pure.

New daemons send typed details with the error; Docker 20.10 sends text only. The details also hold the whole Dockerfile
and the presigned URL of the context: only the fields named here leave this module, and every text is redacted.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from pkg.buildkit.classification import classify
from pkg.buildkit.messages import Facts, explain
from pkg.builds import bounds
from pkg.builds.failures import FailureKind
from pkg.output.redact import Redactor

MAX_TEXT_CHARS = 1000
MAX_NUMBER = (1 << 32) - 1  # of a line or an exit code
_LINE = re.compile(r"^dockerfile parse error (?:on )?line:? (\d{1,9})", re.IGNORECASE)
_EXIT_CODE = re.compile(r": exit code: (\d{1,10})(?:: context canceled)?$")
# what the daemon wraps around the part that says something
_WRAPPERS = re.compile(
    r"^(?:(?:failed to solve(?: with frontend \S+)?|rpc error: code = \w+ desc ="
    r"|failed to (?:create LLB definition|build LLB|load LLB|solve LLB)):? )+"
)


@dataclass(eq=False)
class SolveError(Exception):
    """A solve that did not succeed.

    Attributes:
        kind: why.
        message: for users: what happened and the next step; redacted.
        text: the daemon's own message, redacted, at most 1000 characters.
        line: of the Dockerfile, from 1, when known.
        exit_code: of the command that failed, when one did.
        failed_step: name of the step that failed, when one did; redacted.
    """

    kind: FailureKind
    message: str
    text: str = ""
    line: int | None = None
    exit_code: int | None = None
    failed_step: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


@dataclass(eq=False)
class NotBegunError(SolveError):
    """The daemon took the build and did not begin it within `waited_s` seconds: it hangs, or is very slow."""

    waited_s: float = 0.0


def from_rpc(error: grpc.aio.AioRpcError, facts: Facts, redactor: Redactor) -> SolveError:
    """The error of a Solve call. `facts` says what the build was; text, line and exit code come from the error."""
    details = _details(error)
    text = redactor.text(_WRAPPERS.sub("", error.details() or ""))[:MAX_TEXT_CHARS]
    facts = replace(facts, text=text, line=_line(details, text), exit_code=_exit_code(details, text))
    kind = _kind(error, facts)
    return SolveError(kind, explain(kind, facts), text, facts.line, facts.exit_code, facts.failed_step)


def _kind(error: grpc.aio.AioRpcError, facts: Facts) -> FailureKind:
    match error.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            kind = FailureKind.TIMED_OUT
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            return FailureKind.BUILDER_LOST
        case grpc.StatusCode.INTERNAL if "RST_STREAM" in facts.text or "Stream removed" in facts.text:
            return FailureKind.BUILDER_LOST
        case _:
            kind = classify(facts.text, failed_step=facts.failed_step)
    hit = bounds.find(facts.output) if kind in (FailureKind.COMMAND_FAILED, FailureKind.TIMED_OUT) else None
    if hit:
        return FailureKind.DISK_LIMIT if hit.is_of_disk else FailureKind.PIDS_LIMIT
    return kind


def _details(error: grpc.aio.AioRpcError) -> dict[str, Mapping[str, Any]]:
    """Type name -> content. The values are JSON; the type names lack type.googleapis.com/."""
    found: dict[str, Mapping[str, Any]] = {}
    for key, packed in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin" or not isinstance(packed, bytes):
            continue
        try:
            status = Status.FromString(packed)
        except DecodeError:
            continue
        for detail in status.details:
            try:
                value = json.loads(detail.value)
            except (ValueError, RecursionError):
                continue  # a frontend of the Dockerfile's own choice may send anything
            if isinstance(value, dict):
                found[detail.type_url.rsplit("/", 1)[-1].removesuffix("+json")] = value
    return found


def _line(details: Mapping[str, Mapping[str, Any]], text: str) -> int | None:
    ranges = details.get("errdefs.Source", {}).get("ranges")
    for span in ranges if isinstance(ranges, list) else ():
        start = span.get("start") if isinstance(span, dict) else None
        line = start.get("line") if isinstance(start, dict) else None
        if isinstance(line, int) and 0 < line <= MAX_NUMBER:
            return line
    match = _LINE.search(text)
    return int(match[1]) if match else None


def _exit_code(details: Mapping[str, Mapping[str, Any]], text: str) -> int | None:
    code = details.get("gatewayapi.ExitMessage", {}).get("Code")
    if isinstance(code, int) and 0 <= code <= MAX_NUMBER:
        return code
    match = _EXIT_CODE.search(text)
    return int(match[1]) if match else None
