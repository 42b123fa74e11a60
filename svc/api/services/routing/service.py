"""The servicer of RoutingService."""

# ruff: noqa: N802 - methods are named as the protos name them

from sqlalchemy import Connection

from pkg.config.sections import Ingress
from pkg.errors import InvalidArgument, NotFound
from pkg.routes import queries
from pkg.routes.queries import RouteRow
from sealift.ctrl.v1 import routing_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.requests import lookup, paging
from svc.api.requests.checks import check_id, check_no_nul, shown
from svc.api.requests.sticky import STICKY_KINDS
from svc.api.rpc import Call

MAX_HOSTNAME_CHARS = 253


class RoutingServicer:
    """Routes of the caller's workspace."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def ListRoutes(self, request: pb.ListRoutesRequest, call: Call) -> pb.ListRoutesResponse:
        """By hostname."""
        _check_list(request)
        size, after = paging.page_size(request.page_size), paging.after(request.page_token)

        def load(connection: Connection) -> list[RouteRow]:
            return queries.page(
                connection,
                lookup.project(connection, call.workspace_id, request.project_id).id,
                environment_id=request.environment_id if request.HasField("environment_id") else None,
                deployment_id=request.deployment_id if request.HasField("deployment_id") else None,
                after_hostname=after,
                limit=size + 1,
            )

        page, token = paging.cut(await self._deps.db.read(load), size, lambda r: r.hostname)
        return pb.ListRoutesResponse(
            routes=[_render(r, self._deps.config.ingress) for r in page], next_page_token=token
        )

    async def GetRoute(self, request: pb.GetRouteRequest, call: Call) -> pb.GetRouteResponse:
        """NotFound `route.not_found` when the hostname is not routed."""
        hostname = _hostname_of(request)
        found = await self._deps.db.read(queries.get, hostname, workspace_id=call.workspace_id)
        if found is None:
            raise NotFound("route.not_found", f"Nothing is routed at {shown(hostname)}.", field="hostname")
        return pb.GetRouteResponse(route=_render(found, self._deps.config.ingress))


def _check_list(request: pb.ListRoutesRequest) -> None:
    """Ids have the form of ids."""
    check_id("project_id", "proj", request.project_id)
    if request.HasField("environment_id"):
        check_id("environment_id", "env", request.environment_id)
    if request.HasField("deployment_id"):
        check_id("deployment_id", "dep", request.deployment_id)


def _hostname_of(request: pb.GetRouteRequest) -> str:
    """The hostname in lower case; the route table holds no other."""
    if not 1 <= len(request.hostname) <= MAX_HOSTNAME_CHARS:
        raise InvalidArgument("hostname", f"must have 1 to {MAX_HOSTNAME_CHARS} characters")
    return check_no_nul("hostname", request.hostname).lower().removesuffix(".")


def _render(route: RouteRow, ingress: Ingress) -> pb.Route:
    """The route."""
    return pb.Route(
        hostname=route.hostname,
        project_id=route.project_id,
        environment_id=route.environment_id,
        deployment_id=route.deployment_id,
        sticky=STICKY_KINDS[route.sticky],
        fence=route.fence,
        version=route.version,
        created_at=route.created_at,
        updated_at=route.updated_at,
        url=ingress.url(route.hostname),
        answer=route.answer,
    )
