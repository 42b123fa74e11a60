"""The servicer of CtrlService."""

# ruff: noqa: N802 - methods are named as the protos name them

from dataclasses import dataclass

from sqlalchemy import Connection

from pkg.config.sections import Ingress
from pkg.db import Database
from pkg.regions import queries as regions
from sealift.ctrl.v1 import ctrl_pb2 as pb
from svc.api.dispatch.dispatcher import Dispatcher
from svc.api.rpc import Call


@dataclass(frozen=True)
class CtrlDeps:
    """What the servicer works with, and what it tells."""

    db: Database
    version: str
    revision: str
    instance_id: str
    installation_id: str
    ingress: Ingress
    max_context_bytes: int
    build_backend: str
    dispatcher: Dispatcher


class CtrlServicer:
    """The server about itself."""

    def __init__(self, deps: CtrlDeps) -> None:
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
            version=deps.version,
            revision=deps.revision,
            instance_id=deps.instance_id,
            installation_id=deps.installation_id,
            apex_domain=deps.ingress.apex_domain,
            ingress_scheme=deps.ingress.scheme,
            ingress_port=deps.ingress.port,
            max_context_bytes=deps.max_context_bytes,
            build_backend=deps.build_backend,
            regions=await deps.db.read(_regions),
            is_draining=deps.dispatcher.is_holding,
        )


def _regions(connection: Connection) -> list[pb.RegionInfo]:
    return [
        pb.RegionInfo(name=r.name, last_seen_at=r.last_seen_at, applied_version=r.applied_version)
        for r in regions.every(connection)
    ]
