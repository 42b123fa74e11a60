"""Rows to messages."""

from pkg.projects.queries import Project
from sealift.ctrl.v1 import project_pb2 as pb


def render(project: Project) -> pb.Project:
    """The project."""
    return pb.Project(
        project_id=project.id,
        workspace_id=project.workspace_id,
        slug=project.slug,
        name=project.name,
        created_at=project.created_at,
        updated_at=project.updated_at,
    )
