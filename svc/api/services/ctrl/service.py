"""The servicer of CtrlService."""

# ruff: noqa: N802 - methods are named as the protos name them

from sqlalchemy import Connection

from pkg.buildinfo import current
from pkg.regions import queries as regions
from sealift.ctrl.v1 import ctrl_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.rpc import Call


class CtrlServicer:
    """The server about itself."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def Liveness(self, request: pb.LivenessRequest, call: Call) -> pb.LivenessResponse:
        """Open to everyone."""
        del request, call
        return pb.LivenessResponse(status="ok")

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, call: Call) -> pb.GetServerInfoResponse:
        """What a client needs to know of this installation."""
        del request, call
        deps = self._deps
        return pb.GetServerInfoResponse(
            version=current().version,
            revision=current().revision,
            instance_id=deps.instance_id,
            installation_id=deps.installation.installation_id,
            apex_domain=deps.config.ingress.apex_domain,
            ingress_scheme=deps.config.ingress.scheme,
            ingress_port=deps.config.ingress.port,
            max_context_bytes=deps.config.limits.max_context_bytes,
            build_backend=deps.build_backend,
            regions=await deps.db.read(_regions),
            is_draining=deps.dispatcher.is_holding,
        )


def _regions(connection: Connection) -> list[pb.RegionInfo]:
    return [
        pb.RegionInfo(name=r.name, last_seen_at=r.last_seen_at, applied_version=r.applied_version)
        for r in regions.every(connection)
    ]
