"""Who may call what.

`Role` and `Caller` name who calls; `access` is the one written table of what each role may call and of the few open
doors. Everything that is not in the table is denied. Refusals are `pkg.errors.Unauthenticated` (auth.key_missing,
auth.key_invalid, auth.key_expired, auth.key_revoked) and `PermissionDenied` (auth.role, auth.region).
"""

from pkg.auth.access import OPEN_METHODS, ROLES, check_role, is_open
from pkg.auth.bearer import bearer_key
from pkg.auth.caller import Caller, Role

__all__ = ["OPEN_METHODS", "ROLES", "Caller", "Role", "bearer_key", "check_role", "is_open"]
