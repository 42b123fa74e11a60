"""Rows of environments and their variables. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class EnvironmentKind(StrEnum):
    """Production holds the project's live route; there is one."""

    PRODUCTION = "production"
    PREVIEW = "preview"


@dataclass(frozen=True)
class Environment:
    """A row of `environments`.

    Attributes:
        data_key: Wrapped by the vault's master key.
        replicas: Instances of each of its deployments in each region, as they were scaled last; None: never.
        process_replicas_json: The same by process, of those that were scaled.
    """

    id: str
    workspace_id: str
    project_id: str
    slug: str
    kind: EnvironmentKind
    settings_json: dict[str, Any]
    is_rolled_back: bool
    next_seq: int
    data_key: bytes
    created_at: int
    updated_at: int
    replicas: int | None = None
    deletion_id: str | None = None
    deleted_at: int | None = None
    process_replicas_json: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", EnvironmentKind(self.kind))


@dataclass(frozen=True)
class Variable:
    """A variable of an environment; at rest every value is sealed, also one that may be seen.

    Attributes:
        updated_at: when its value was set last.
    """

    name: str
    sealed: bytes
    is_plain: bool
    updated_at: int
