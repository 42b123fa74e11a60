"""What a request about routes may say. Pure."""

from pkg.errors import InvalidArgument
from sealift.ctrl.v1 import routing_pb2 as pb
from svc.api.requests.checks import check_id

MAX_HOSTNAME_CHARS = 253


def check_list(request: pb.ListRoutesRequest) -> None:
    """Ids have the form of ids."""
    check_id("project_id", "proj", request.project_id)
    if request.HasField("environment_id"):
        check_id("environment_id", "env", request.environment_id)
    if request.HasField("deployment_id"):
        check_id("deployment_id", "dep", request.deployment_id)


def hostname_of(request: pb.GetRouteRequest) -> str:
    """The hostname in lower case; the route table holds no other."""
    if not 1 <= len(request.hostname) <= MAX_HOSTNAME_CHARS:
        raise InvalidArgument("hostname", f"must have 1 to {MAX_HOSTNAME_CHARS} characters")
    return request.hostname.lower().removesuffix(".")
