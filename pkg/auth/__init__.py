"""Who may call what.

`Role` and `Caller` name who calls; `access` reads what each method declares in its proto options and which roles may
call it. A method that declares nothing is denied. Refusals are `pkg.errors.Unauthenticated` (auth.key_missing,
auth.key_invalid, auth.key_expired, auth.key_revoked) and `PermissionDenied` (auth.role, auth.region).
"""

from pkg.auth.access import access_of, check_role, check_scope, is_open, roles
from pkg.auth.bearer import bearer_key
from pkg.auth.caller import Caller, Role
from sealift.ctrl.v1.options_pb2 import Access

__all__ = ["Access", "Caller", "Role", "access_of", "bearer_key", "check_role", "check_scope", "is_open", "roles"]
