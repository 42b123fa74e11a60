"""What a request for a key may say. Pure."""

from dataclasses import dataclass

from pkg.auth import Role
from pkg.errors import InvalidArgument
from pkg.projects.slugs import check_slug
from sealift.ctrl.v1 import key_pb2 as pb
from svc.api.requests.checks import check_name, check_range

MIN_EXPIRES_IN_S = 60
MAX_EXPIRES_IN_S = 315_360_000  # ten years
ROLES = {
    pb.KEY_ROLE_ADMIN: Role.ADMIN,
    pb.KEY_ROLE_DEPLOY: Role.DEPLOY,
    pb.KEY_ROLE_CLUSTER: Role.CLUSTER,
}


@dataclass(frozen=True)
class WantedKey:
    """The key to make."""

    name: str
    role: Role
    region: str | None
    expires_in_s: int | None


def wanted(request: pb.CreateKeyRequest) -> WantedKey:
    """The key to make, checked."""
    name = check_name("name", request.name)
    role = ROLES.get(request.role)
    if role is None:
        raise InvalidArgument("role", "is required: admin, deploy or cluster")
    region = None
    if role is Role.CLUSTER:
        region = check_slug("region", request.region)
    elif request.HasField("region"):
        raise InvalidArgument("region", f"is only for role cluster, not for {role}")
    expires_in_s = None
    if request.HasField("expires_in_s"):
        expires_in_s = check_range("expires_in_s", request.expires_in_s, MIN_EXPIRES_IN_S, MAX_EXPIRES_IN_S, "seconds")
    return WantedKey(name, role, region, expires_in_s)
