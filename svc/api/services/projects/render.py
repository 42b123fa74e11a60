"""Rows to messages."""

from pkg.config.sections import Ingress
from pkg.projects.model import Project
from pkg.regions.health import InstanceState
from pkg.routes.queries import LiveRoute
from sealift.ctrl.v1 import project_pb2 as pb


def render(project: Project, live: LiveRoute | None, ingress: Ingress) -> pb.Project:
    """The project, with what is live of it."""
    return pb.Project(
        project_id=project.id,
        workspace_id=project.workspace_id,
        slug=project.slug,
        name=project.name,
        created_at=project.created_at,
        updated_at=project.updated_at,
        live_url=ingress.url(live.hostname) if live else "",
        live_deployment_id=live.deployment_id if live else "",
        live_instances=len(live.states) if live else 0,
        healthy_instances=live.states.count(InstanceState.HEALTHY) if live else 0,
    )
