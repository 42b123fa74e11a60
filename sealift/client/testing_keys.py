# ruff: noqa: N802, D102 - the methods are those of the protocol, described there
"""Access keys of the fake server, in memory."""

import itertools
from typing import Any

from sealift.client.testing_deployment import now_ms
from sealift.client.testing_servicer import FakeServicer
from sealift.ctrl.v1 import key_pb2, key_pb2_grpc


class FakeKeys(FakeServicer, key_pb2_grpc.KeyServiceServicer):
    """KeyService.

    Attributes:
        keys: those that were made, by id.
        current_key: what GetCurrentKey answers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, key_pb2.Key] = {}
        self.current_key = key_pb2.Key(key_id="key_0", name="laptop", role=key_pb2.KEY_ROLE_DEPLOY)
        self._key_numbers = itertools.count(1)

    async def CreateKey(self, request: Any, context: Any) -> Any:
        await self._enter("CreateKey", context)
        key = key_pb2.Key(key_id=f"key_{next(self._key_numbers)}", name=request.name, role=request.role, hint="slk_ab")
        self.keys[key.key_id] = key
        return key_pb2.CreateKeyResponse(key=key, secret="slk_made")  # noqa: S106 - a fake one

    async def GetCurrentKey(self, request: Any, context: Any) -> Any:
        await self._enter("GetCurrentKey", context)
        return key_pb2.GetCurrentKeyResponse(
            key=self.current_key,
            workspace_id="ws_1",
            workspace_slug="default",
            installation_id="ins_1",
            server_version="9.9.9",
        )

    async def ListKeys(self, request: Any, context: Any) -> Any:
        await self._enter("ListKeys", context)
        return key_pb2.ListKeysResponse(keys=self.keys.values())

    async def RevokeKey(self, request: Any, context: Any) -> Any:
        await self._enter("RevokeKey", context)
        key = self.keys[request.key_id]
        key.revoked_at = now_ms()
        return key_pb2.RevokeKeyResponse(key=key)
