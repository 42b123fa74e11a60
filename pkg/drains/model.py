"""What a drain is."""

from dataclasses import dataclass
from enum import StrEnum


class DrainReason(StrEnum):
    """Why new work is held back.

    UPGRADE: other code is about to start; the client that started the drain ends it once that code works.
    OPERATOR: a person wants it, across restarts and upgrades, until a person ends it.
    """

    UPGRADE = "upgrade"
    OPERATOR = "operator"


@dataclass(frozen=True)
class Drain:
    """A row of `drains`. Times are epoch milliseconds.

    Attributes:
        client: name of the access key that began it.
        ended_at: None while it holds work back.
    """

    id: str
    reason: DrainReason
    client: str
    began_at: int
    ended_at: int | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", DrainReason(self.reason))
