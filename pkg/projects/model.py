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
    depot_project_id: str | None = None
    depot_claimed_at: int | None = None
    deletion_id: str | None = None
    deleted_at: int | None = None
