"""Who calls."""

from dataclasses import dataclass
from enum import StrEnum

from pkg.errors import PermissionDenied


class Role(StrEnum):
    """What a key is for."""

    ADMIN = "admin"
    DEPLOY = "deploy"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Caller:
    """The key behind a call. `region` is set for role cluster only."""

    key_id: str
    name: str
    workspace_id: str
    role: Role
    region: str | None = None

    def check_region(self, region: str) -> None:
        """Raises PermissionDenied `auth.region` unless the key speaks for this region."""
        if self.role is not Role.CLUSTER or self.region != region:
            raise PermissionDenied(
                "auth.region",
                f"key {self.name!r} is for region {self.region!r}, not for {region[:64]!r}:"
                " give this krane the key of its region.",
            )
