"""The table of what each role may call. What is not in it is denied.

The open doors, all of them: the methods of OPEN_METHODS, the services of OPEN_SERVICES (health; reflection, which is
served on loopback only), and over HTTP /health/*, /metrics (for loopback peers, unless set otherwise) and /objects/*
(signed URLs carry their own proof).
"""

from collections.abc import Iterable

from pkg.auth.caller import Caller, Role
from pkg.errors import PermissionDenied

OPEN_METHODS = frozenset({"/sealift.ctrl.v1.CtrlService/Liveness"})
OPEN_SERVICES = frozenset({"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"})

_ADMIN = frozenset({Role.ADMIN})
_USERS = frozenset({Role.ADMIN, Role.DEPLOY})
_CLUSTER = frozenset({Role.CLUSTER})


def _methods(service: str, names: Iterable[str], roles: frozenset[Role]) -> dict[str, frozenset[Role]]:
    return {f"/sealift.ctrl.v1.{service}/{name}": roles for name in names}


ROLES: dict[str, frozenset[Role]] = {
    **_methods("CtrlService", ["GetServerInfo"], _USERS),
    **_methods("ProjectService", ["CreateProject", "GetProject", "ListProjects", "UpdateProject"], _USERS),
    **_methods(
        "EnvironmentService", ["CreateEnvironment", "GetEnvironment", "ListEnvironments", "UpdateEnvironment"], _USERS
    ),
    **_methods(
        "BuildService",
        ["GenerateUploadURL", "CreateBuild", "GetBuild", "ListBuilds", "GetBuildLogs", "CancelBuild"],
        _USERS,
    ),
    **_methods(
        "DeploymentService",
        [
            "CreateDeployment", "GetDeployment", "ListDeployments", "WatchDeployment", "CancelDeployment",
            "StopDeployment", "Promote", "Rollback", "GetOperation", "WatchOperation",
        ],
        _USERS,
    ),
    **_methods("RoutingService", ["ListRoutes", "GetRoute"], _USERS),
    **_methods("KeyService", ["CreateKey", "ListKeys", "RevokeKey"], _ADMIN),
    **_methods(
        "ClusterService",
        ["Register", "WatchDesiredState", "ReportApplied", "ReportInstances", "Heartbeat"],
        _CLUSTER,
    ),
}  # fmt: skip


def is_open(method: str) -> bool:
    """Whether `method` ("/package.Service/Method") asks for no key."""
    return method in OPEN_METHODS or method.removeprefix("/").partition("/")[0] in OPEN_SERVICES


def check_role(method: str, caller: Caller) -> None:
    """Raises PermissionDenied `auth.role` unless the caller's role may call `method`. Unknown methods are denied."""
    allowed = ROLES.get(method, frozenset())
    if caller.role not in allowed:
        needed = " or ".join(sorted(allowed)) or "no role at all"
        raise PermissionDenied(
            "auth.role",
            f"key {caller.name!r} has the role {caller.role}, and {method} is for {needed}: use another key.",
        )
