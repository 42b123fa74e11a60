# ruff: noqa: N802, D102 - the methods are those of the protocol, described there
"""Deletions of the fake server, in memory; a test says which states each goes through."""

from typing import Any

from sealift.client.testing_servicer import FakeServicer, refuse
from sealift.ctrl.v1 import deletion_pb2, deletion_pb2_grpc


class FakeDeletions(FakeServicer, deletion_pb2_grpc.DeletionServiceServicer):
    """DeletionService, and what the services of projects, environments and deployments record.

    Attributes:
        deletions: by id.
        deletion_states: fields of the states that each stream sends before the last one.
        deletion_end: fields of the last one.
        delete_requests: the requests that were accepted.
        delete_refusal: code and message of what is refused; None: nothing is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.deletions: dict[str, deletion_pb2.Deletion] = {}
        self.deletion_states: list[dict[str, Any]] = [{"step": "routes"}, {"step": "records"}]
        self.deletion_end: dict[str, Any] = {"status": deletion_pb2.DELETION_STATUS_DONE, "ended_at": 2500}
        self.delete_requests: list[Any] = []
        self.delete_refusal: tuple[str, str] | None = None

    async def _delete(self, request: Any, context: Any, **fields: Any) -> dict[str, Any]:
        if self.delete_refusal is not None:
            await refuse(context, "FAILED_PRECONDITION", *self.delete_refusal)
        self.delete_requests.append(request)
        before = len(self.deletions)
        deletion = deletion_pb2.Deletion(
            deletion_id=f"del_{before + 1}", status=deletion_pb2.DELETION_STATUS_PENDING, step="queued",
            skips_regions=request.skip_regions, created_at=1000, project_id="proj_hello", project_slug="hello",
            **fields,
        )  # fmt: skip
        self.deletions[deletion.deletion_id] = deletion
        return {"deletion": deletion}

    async def GetDeletion(self, request: Any, context: Any) -> Any:
        await self._enter("GetDeletion", context)
        return deletion_pb2.GetDeletionResponse(deletion=self.deletions[request.deletion_id])

    async def WatchDeletion(self, request: Any, context: Any) -> Any:
        await self._enter("WatchDeletion", context)
        deletion = self.deletions[request.deletion_id]
        for fields in (*self.deletion_states, self.deletion_end):
            deletion.MergeFrom(deletion_pb2.Deletion(**fields))
            yield deletion_pb2.WatchDeletionResponse(deletion=deletion)
