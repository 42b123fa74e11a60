"""The servicer of CtrlService."""

# ruff: noqa: N802 - methods are named as the protos name them

import logging
from dataclasses import replace

from sqlalchemy import Connection

from pkg.buildinfo import current
from pkg.drains import Drain, queries
from pkg.errors import InvalidArgument, NotFound
from pkg.observability.logging import fields
from pkg.regions import queries as regions
from sealift.ctrl.v1 import ctrl_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.requests.checks import check_id, check_no_nul
from svc.api.requests.mutation import Change, mutate
from svc.api.rpc import Call
from svc.api.services.ctrl import drains

log = logging.getLogger(__name__)


class CtrlServicer:
    """What a client needs to know of this installation, and its drains."""

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

    async def BeginDrain(self, request: pb.BeginDrainRequest, call: Call) -> pb.BeginDrainResponse:
        """Recorded for the caller's key. The dispatcher holds new work back a moment later, see `is_holding`."""
        deps, reason, client = self._deps, drains.reason(request.reason), call.caller.name

        def begin(connection: Connection) -> Change[Drain]:
            if found := queries.find_active(connection, reason, client):
                return Change(found, {})
            made = queries.begin(connection, reason, client, deps.clock())
            log.info("drain started", extra=fields(drain_id=made.id, drain_reason=reason, client=client))
            return Change(made, {"drain_id": made.id})

        drain = await mutate(deps, call, begin)
        deps.dispatcher.notify()
        return pb.BeginDrainResponse(drain=drains.render(drain))

    async def EndDrain(self, request: pb.EndDrainRequest, call: Call) -> pb.EndDrainResponse:
        """Whoever began it."""
        deps, drain_id = self._deps, check_id("drain_id", "drain", request.drain_id)

        def end(connection: Connection) -> Change[Drain]:
            found = queries.get(connection, drain_id)
            if found is None:
                raise NotFound(
                    "drain.not_found",
                    f"There never was a drain {drain_id!r}. GetDrainStatus lists those that are active.",
                    field="drain_id",
                )
            if found.ended_at is not None:
                return Change(found, {})
            now = deps.clock()
            queries.end(connection, drain_id, now)
            log.info("drain ended", extra=fields(drain_id=drain_id, key_id=call.caller.key_id))
            return Change(replace(found, ended_at=now), {"drain_id": drain_id})

        drain = await mutate(deps, call, end)
        deps.dispatcher.notify()
        return pb.EndDrainResponse(drain=drains.render(drain))

    async def GetDrainStatus(self, request: pb.GetDrainStatusRequest, call: Call) -> pb.GetDrainStatusResponse:
        """Of all workspaces."""
        del call
        deps = self._deps
        if len(request.work_ids) > drains.MAX_WORK_IDS:
            raise InvalidArgument("work_ids", f"at most {drains.MAX_WORK_IDS}, these are {len(request.work_ids)}")
        for work_id in request.work_ids:
            check_no_nul("work_ids", work_id)
        is_holding = deps.dispatcher.is_holding
        found = await deps.db.read(drains.find, list(request.work_ids))
        return await drains.status(found, deps.restate, is_holding=is_holding)


def _regions(connection: Connection) -> list[pb.RegionInfo]:
    return [
        pb.RegionInfo(name=r.name, last_seen_at=r.last_seen_at, applied_version=r.applied_version)
        for r in regions.every(connection)
    ]
