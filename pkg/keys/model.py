"""Rows of access keys. Pure."""

from dataclasses import dataclass

from pkg.auth import Role


@dataclass(frozen=True)
class Key:
    """A row of `keys`."""

    id: str
    workspace_id: str
    name: str
    role: Role
    region: str | None
    hash: str
    hint: str
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "role", Role(self.role))
