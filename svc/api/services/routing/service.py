"""The servicer of RoutingService."""

# ruff: noqa: N802 - methods are named as the protos name them

from sqlalchemy import Connection

from pkg.errors import NotFound
from pkg.routes import queries
from pkg.routes.queries import Route
from sealift.ctrl.v1 import routing_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.requests import lookup, paging
from svc.api.requests.checks import shown
from svc.api.rpc import Call
from svc.api.services.routing.render import render
from svc.api.services.routing.validation import check_list, hostname_of


class RoutingServicer:
    """Routes of the caller's workspace."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def ListRoutes(self, request: pb.ListRoutesRequest, call: Call) -> pb.ListRoutesResponse:
        """By hostname."""
        check_list(request)
        size, after = paging.page_size(request.page_size), paging.after(request.page_token)

        def load(connection: Connection) -> list[Route]:
            return queries.page(
                connection,
                lookup.project(connection, call.workspace_id, request.project_id).id,
                environment_id=request.environment_id if request.HasField("environment_id") else None,
                deployment_id=request.deployment_id if request.HasField("deployment_id") else None,
                after_hostname=after,
                limit=size + 1,
            )

        page, token = paging.cut(await self._deps.db.read(load), size, lambda r: r.hostname)
        return pb.ListRoutesResponse(routes=[render(r, self._deps.config.ingress) for r in page], next_page_token=token)

    async def GetRoute(self, request: pb.GetRouteRequest, call: Call) -> pb.GetRouteResponse:
        """NotFound `route.not_found` when the hostname is not routed."""
        hostname = hostname_of(request)
        found = await self._deps.db.read(queries.get, hostname, workspace_id=call.workspace_id)
        if found is None:
            raise NotFound("route.not_found", f"Nothing is routed at {shown(hostname)}.", field="hostname")
        return pb.GetRouteResponse(route=render(found, self._deps.config.ingress))
