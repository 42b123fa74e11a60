"""Who may call what, as the protos declare it."""

import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from pkg.auth import Access, Caller, Role, access_of, check_role, is_open, roles
from pkg.auth.testing import METHODS
from pkg.errors import PermissionDenied
from sealift.ctrl.v1.options_pb2 import Permission, Scope

ADMIN = frozenset({Role.ADMIN})
USERS = frozenset({Role.ADMIN, Role.DEPLOY})
CLUSTER = frozenset({Role.CLUSTER})
# the table that decided before the protos did
BEFORE: dict[str, frozenset[Role]] = {
    f"{service}.{method}": allowed
    for service, methods, allowed in (
        ("CtrlService", "GetServerInfo", USERS),
        ("ProjectService", "CreateProject GetProject ListProjects UpdateProject", USERS),
        ("EnvironmentService", "CreateEnvironment GetEnvironment ListEnvironments UpdateEnvironment", USERS),
        ("BuildService", "GenerateUploadURL CreateBuild GetBuild ListBuilds GetBuildLogs CancelBuild", USERS),
        (
            "DeploymentService",
            "CreateDeployment GetDeployment ListDeployments WatchDeployment CancelDeployment StopDeployment Promote "
            "Rollback GetOperation WatchOperation",
            USERS,
        ),
        ("RoutingService", "ListRoutes GetRoute", USERS),
        ("StatsService", "GetStats GetUsage", USERS),
        ("KeyService", "CreateKey ListKeys RevokeKey", ADMIN),
        (
            "ClusterService",
            "Register WatchDesiredState ReportApplied ReportInstances ReportImages Heartbeat ListReleased ReportAccess "
            "ReportUsage",
            CLUSTER,
        ),
    )
    for method in methods.split()
}
QUIET = {
    "ClusterService.Heartbeat",
    "ClusterService.ReportInstances",
    "ClusterService.ReportImages",
    "ClusterService.ReportApplied",
    "ClusterService.ListReleased",
    "ClusterService.ReportAccess",
    "ClusterService.ReportUsage",
}


def name_of(method: MethodDescriptor) -> str:
    return method.full_name.removeprefix("sealift.ctrl.v1.")


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_every_method_declares_its_access(method: MethodDescriptor) -> None:
    """Promise: every method declares who may call it and on which resource."""
    access = access_of(method)
    assert access.permission in Permission.values()
    assert access.scope in Scope.values()
    assert is_open(access) or roles(access)


def test_access_is_what_it_was() -> None:
    """Promise: each method is for the roles that it was for before its access stood in the protos."""
    now = {name_of(method): access_of(method) for method in METHODS}
    assert {name: roles(now[name]) for name in BEFORE} == BEFORE
    assert {name for name, access in now.items() if is_open(access)} == {"CtrlService.Liveness"}
    assert {name for name in BEFORE if now[name].quiet} == QUIET


def test_only_krane_speaks_for_a_region() -> None:
    """Promise: methods about a region are for cluster keys, and those are for nothing else but to ask who they are."""
    for method in METHODS:
        access = access_of(method)
        if access.permission == Permission.PERMISSION_ANY_KEY:
            assert name_of(method) == "KeyService.GetCurrentKey"
            continue
        assert (access.scope == Scope.SCOPE_REGION) is (Role.CLUSTER in roles(access)), method.full_name


def test_a_method_about_a_region_names_it() -> None:
    """Promise: a method cannot be about a region without a field that says which."""
    for method in METHODS:
        if access_of(method).scope == Scope.SCOPE_REGION:
            assert method.input_type.fields_by_name["region"].type == FieldDescriptor.TYPE_STRING, method.full_name


def test_what_is_not_declared_is_denied() -> None:
    """Promise: without a declared permission no role may call, not even admin."""
    for role in Role:
        with pytest.raises(PermissionDenied, match="no role at all"):
            check_role("/x.Y/Z", Access(), Caller("key_1", "ci", "ws_1", role))
    assert not is_open(Access())
