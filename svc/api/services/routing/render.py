"""Rows to messages."""

from pkg.config.sections import Ingress
from pkg.routes.queries import Route
from sealift.ctrl.v1 import routing_pb2 as pb
from svc.api.requests.sticky import STICKY_KINDS


def render(route: Route, ingress: Ingress) -> pb.Route:
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
    )
