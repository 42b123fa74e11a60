"""The installation, as a row. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Installation:
    """`epoch` changes when the database is restored: cursors of before mean nothing then.

    `draining_since` is set by the supervisor before an upgrade, and taken away by its next start.
    """

    row: int
    installation_id: str
    epoch: str
    created_at: int
    draining_since: int | None = None
