"""Who may call a method, as its options in the protos declare. A method that declares nothing is denied."""

from collections.abc import Mapping

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from pkg.auth.caller import Caller, Role
from pkg.errors import PermissionDenied
from sealift.ctrl.v1 import options_pb2
from sealift.ctrl.v1.options_pb2 import Access, Permission, Scope

_ROLES: Mapping[Permission.ValueType, frozenset[Role]] = {
    Permission.PERMISSION_READ: frozenset({Role.ADMIN, Role.DEPLOY}),
    Permission.PERMISSION_DEPLOY: frozenset({Role.ADMIN, Role.DEPLOY}),
    Permission.PERMISSION_ADMIN: frozenset({Role.ADMIN}),
    Permission.PERMISSION_CLUSTER: frozenset({Role.CLUSTER}),
    Permission.PERMISSION_ANY_KEY: frozenset(Role),
}


def access_of(method: MethodDescriptor) -> Access:
    """What the method declares.

    Raises:
        ValueError: permission or scope are missing, or the request of a method about a region does not name one.
    """
    access = method.GetOptions().Extensions[options_pb2.access]
    if not access.permission or not access.scope:
        raise ValueError(
            f"{method.full_name} declares no access: give it option (access) with permission and scope"
            " (sealift/ctrl/v1/options.proto)"
        )
    if access.scope == Scope.SCOPE_REGION and "region" not in method.input_type.fields_by_name:
        raise ValueError(f"{method.full_name} is about a region, but its request has no field region")
    return access


def is_open(access: Access) -> bool:
    """Whether the method needs no key."""
    return access.permission == Permission.PERMISSION_OPEN


def roles(access: Access) -> frozenset[Role]:
    """The roles whose keys may call the method; none for a method that is open or declares nothing."""
    return _ROLES.get(access.permission, frozenset())


def check_role(method: str, access: Access, caller: Caller) -> None:
    """Raises PermissionDenied `auth.role` unless the caller's role may call `method` ("/package.Service/Method")."""
    allowed = roles(access)
    if caller.role not in allowed:
        needed = " or ".join(sorted(allowed)) or "no role at all"
        raise PermissionDenied(
            "auth.role",
            f"Key {caller.name!r} has the role {caller.role}, but {method} requires {needed}: use another key.",
        )


def check_scope(access: Access, request: Message, caller: Caller) -> None:
    """Raises PermissionDenied `auth.region` when the request is about a region that is not the key's."""
    if access.scope == Scope.SCOPE_REGION:
        caller.check_region(getattr(request, "region"))  # noqa: B009 - every request of this scope has it, see access_of
