"""Rows to messages."""

from collections.abc import Mapping, Sequence

from pkg.deployments.settings import from_json
from pkg.environments.model import Environment, EnvironmentKind
from sealift.ctrl.v1 import environment_pb2 as pb
from svc.api.requests import settings

KINDS = {
    EnvironmentKind.PRODUCTION: pb.ENVIRONMENT_KIND_PRODUCTION,
    EnvironmentKind.PREVIEW: pb.ENVIRONMENT_KIND_PREVIEW,
}


def render(
    environment: Environment, variable_names: Sequence[str], plain: Mapping[str, str], live_deployment_id: str | None
) -> pb.Environment:
    """The environment; of its variables the values only of those that may be seen (`plain`)."""
    return pb.Environment(
        environment_id=environment.id,
        project_id=environment.project_id,
        slug=environment.slug,
        kind=KINDS[environment.kind],
        settings=settings.render(from_json(environment.settings_json)),
        variable_names=variable_names,
        plain_variables=plain,
        live_deployment_id=live_deployment_id or "",
        is_rolled_back=environment.is_rolled_back,
        created_at=environment.created_at,
        updated_at=environment.updated_at,
    )
