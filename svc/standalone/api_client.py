"""Calls of the api by the supervisor: its JSON methods over HTTP, with a key from the state directory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkg import local_http
from svc.standalone.secrets import SUPERVISOR_KEY_FILE
from svc.standalone.statedir import StateDir

TIMEOUT_S = 10.0

UNIMPLEMENTED = "unimplemented"


class ApiAwayError(OSError):
    """The api does not answer."""


class ApiRefusedError(Exception):
    """The api answered with an error; the text is its message.

    Attributes:
        code: of the Connect protocol, e.g. "unauthenticated"; "unimplemented" for an api that lacks the method.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class ApiClient:
    """The api of one stack.

    Attributes:
        address: host:port of its HTTP listener.
        key_file: holds the access key.
    """

    address: str
    key_file: Path

    async def call(
        self, method: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> dict[str, Any]:
        """Call "Service/Method" with the fields of its request, named as protobuf's JSON names them.

        Raises:
            ApiAwayError: nothing answers in time, or not like an api.
            ApiRefusedError: it answered with an error.
            OSError: the key can't be read.
        """
        key = self.key_file.read_text(encoding="utf-8").strip()
        try:
            answer = await local_http.request(
                self.address, f"/sealift.ctrl.v1.{method}", method="POST", body=json.dumps(body or {}).encode(),
                content_type="application/json", bearer=key, timeout_s=timeout_s,
            )  # fmt: skip
        except OSError as error:
            raise ApiAwayError(f"the api does not answer at {self.address}: {error or type(error).__name__}") from error
        try:
            said: dict[str, Any] = answer.json()
        except ValueError as error:
            if answer.status == 404:
                raise ApiRefusedError(f"the api that runs has no {method}", UNIMPLEMENTED) from error
            raise ApiAwayError(f"what listens at {self.address} does not answer like the api") from error
        if answer.status != 200:
            raise ApiRefusedError(str(said.get("message", f"HTTP {answer.status}")), str(said.get("code", "unknown")))
        return said


def supervisor_client(state: StateDir, address: str) -> ApiClient:
    """With the supervisor's own key."""
    return ApiClient(address, state.secrets / SUPERVISOR_KEY_FILE)
