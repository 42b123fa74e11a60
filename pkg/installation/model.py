"""The row of the installation. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Installation:
    """`epoch` changes when the database is restored, which makes older cursors invalid."""

    row: int
    installation_id: str
    epoch: str
    created_at: int
