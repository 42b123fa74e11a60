"""Rows of projects. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Project:
    """A row of `projects`."""

    id: str
    workspace_id: str
    slug: str
    name: str
    created_at: int
    updated_at: int
