"""The servicer of DeletionService."""

# ruff: noqa: N802 - methods are named as the protos name them

from collections.abc import AsyncGenerator
from contextlib import aclosing

from sqlalchemy import Connection

from sealift.ctrl.v1 import deletion_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.requests.checks import check_id
from svc.api.requests.follow import follow
from svc.api.rpc import Call
from svc.api.services.deletions.recording import deletion_of


class DeletionServicer:
    """Deletions of the caller's workspace."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def GetDeletion(self, request: pb.GetDeletionRequest, call: Call) -> pb.GetDeletionResponse:
        """The deletion as it is now."""
        _, found = await self._deps.db.read(deletion_of, call.workspace_id, request.deletion_id)
        return pb.GetDeletionResponse(deletion=found)

    async def WatchDeletion(
        self, request: pb.WatchDeletionRequest, call: Call
    ) -> AsyncGenerator[pb.WatchDeletionResponse, None]:
        """The deletion at once and after every change; ends after its status is terminal."""
        check_id("deletion_id", "del", request.deletion_id)

        def load(connection: Connection) -> tuple[pb.WatchDeletionResponse, bool]:
            found, message = deletion_of(connection, call.workspace_id, request.deletion_id)
            return pb.WatchDeletionResponse(deletion=message), found.status.is_terminal

        async with aclosing(follow(self._deps.db, load)) as messages:
            async for message in messages:
                yield message
