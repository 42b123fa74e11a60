"""Failures as a modern BuildKit reports them, and what the user reads of each.

`recorded_failures.json` was recorded from the BuildKit 0.13 in Debian trixie's Docker engine: status, message, and
typed details without the Dockerfile and the solver's own. It is also the table of what users read.
"""

import base64
import json
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as Detail
from google.rpc.status_pb2 import Status

from pkg.buildkit.errors import from_rpc
from pkg.buildkit.messages import Facts
from pkg.output.redact import Redactor

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "recorded_failures.json").read_text())
SIGNED = "https://store.example.com/x?X-Amz-Signature=abc"


def error(code: str, message: str, details: dict[str, Any]) -> grpc.aio.AioRpcError:
    packed = [Detail(type_url=name, value=json.dumps(value).encode()) for name, value in details.items()]
    trailer = Status(code=2, message=message, details=packed).SerializeToString()
    return grpc.aio.AioRpcError(
        grpc.StatusCode[code], grpc.aio.Metadata(), grpc.aio.Metadata(("grpc-status-details-bin", trailer)), message
    )


def facts(one: dict[str, Any]) -> Facts:
    target = "nope" if one["name"] == "no such stage" else ""
    output = ("dd: error writing '/big': No space left on device",) if "step writes" in one["name"] else ()
    return Facts(failed_step=one["failed_step"], timeout_s=2, target=target, output=output)


@pytest.mark.parametrize("one", RECORDED, ids=[one["name"] for one in RECORDED])
def test_what_the_user_reads(one: dict[str, Any]) -> None:
    """Promise: kind, line, exit code and words of each failure are as the table has them."""
    found = from_rpc(error(one["code"], one["message"], one["details"]), facts(one), Redactor())
    assert (found.kind, found.line, found.exit_code) == (one["kind"], one["line"], one["exit_code"])
    assert found.message == one["words"]


@pytest.mark.parametrize("one", RECORDED, ids=[one["name"] for one in RECORDED])
def test_details_stay_inside(one: dict[str, Any]) -> None:
    """Promise: the Dockerfile and the signed URL, which details may hold, never come out."""
    source = one["details"].get("github.com/moby/buildkit/errdefs.Source+json", {})
    dockerfile = base64.b64encode(b"FROM scratch # a comment of the user").decode()
    details = one["details"] | {
        "github.com/moby/buildkit/errdefs.Source+json": source | {"info": {"data": dockerfile}, "definition": SIGNED},
        "github.com/moby/buildkit/errdefs.Solve+json": {"op": {"source": {"identifier": SIGNED}}},
    }
    found = from_rpc(error(one["code"], f"{one['message']}: {SIGNED}", details), facts(one), Redactor())
    everything = f"{found} {found.text} {found.failed_step}"
    assert [word for word in ("Signature=abc", dockerfile, "comment of the user") if word in everything] == []


SOURCE, EXIT = "github.com/moby/buildkit/errdefs.Source+json", "moby.buildkit.v1.frontend.gatewayapi.ExitMessage+json"


@pytest.mark.parametrize(
    "details",
    [
        {"x": []},
        {"x": 5},
        {SOURCE: {"ranges": [{}]}},
        {SOURCE: {"ranges": ["a", 5, None]}},
        {SOURCE: {"ranges": [{"start": []}]}},
        {SOURCE: {"ranges": [{"start": {"line": []}}]}},
        {SOURCE: {"ranges": [{"start": {"line": 10**30}}]}},
        {EXIT: {"Code": -1}},
        {EXIT: {"Code": 10**30}},
    ],
)
def test_details_of_another_form(details: dict[str, Any]) -> None:
    """Promise: details that are not as expected cost nothing but the line."""
    found = from_rpc(error("UNKNOWN", f"odd: exit code: {'9' * 5000}", details), Facts(), Redactor())
    assert (found.line, found.exit_code) == (None, None)
