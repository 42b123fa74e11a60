"""The checks of every fake call: the key, injected faults, and errors in the real server's form."""

from collections import defaultdict
from typing import Any

import grpc

KEY = "slk_test"
REQUEST_ID = "req_test"


class FakeServicer:
    """The base of fake servicers.

    Attributes:
        faults: method -> statuses of its next calls.
        calls: method -> how often it was called.
        metadata: of every call, in order.
    """

    def __init__(self) -> None:
        self.faults: dict[str, list[grpc.StatusCode]] = defaultdict(list)
        self.calls: dict[str, int] = defaultdict(int)
        self.metadata: list[dict[str, str]] = []

    async def _enter(self, method: str, context: Any) -> None:
        self.calls[method] += 1
        metadata = dict(context.invocation_metadata())
        self.metadata.append(metadata)
        if self.faults[method]:
            await context.abort(self.faults[method].pop(0), "made to fail")
        if metadata.get("authorization") != f"Bearer {KEY}":
            await refuse(
                context, "UNAUTHENTICATED", "auth.invalid_key", "the key is not known; is SEALIFT_API_KEY right?"
            )


async def refuse(context: Any, status: str, code: str, message: str, **metadata: str) -> None:
    """End a call as the real server does: status, message, and the code in `google.rpc.ErrorInfo`."""
    from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo
    from google.rpc.status_pb2 import Status

    status_code = grpc.StatusCode[status]
    full = Status(code=status_code.value[0], message=message)
    full.details.add().Pack(ErrorInfo(reason=code, domain="sealift", metadata=metadata))
    full.details.add().Pack(RequestInfo(request_id=REQUEST_ID))
    if field := metadata.get("field"):
        full.details.add().Pack(BadRequest(field_violations=[BadRequest.FieldViolation(field=field)]))
    await context.abort(status_code, message, (("grpc-status-details-bin", full.SerializeToString()),))
