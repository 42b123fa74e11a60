"""The servicer of EnvironmentService."""

# ruff: noqa: N802 - methods are named as the protos name them

import logging
from dataclasses import dataclass

from sqlalchemy import Connection

from pkg.clock import Clock
from pkg.db import Database
from pkg.environments import queries
from pkg.environments.queries import Environment, EnvironmentKind
from pkg.errors import AlreadyExists, InvalidArgument, ResourceExhausted
from pkg.ids import new_id
from pkg.observability.logging import fields
from pkg.projects.slugs import check_slug
from pkg.routes import queries as routes
from pkg.vault import Vault
from sealift.ctrl.v1 import environment_pb2 as pb
from svc.api.middleware import Call
from svc.api.services import lookup, settings
from svc.api.services.checks import check_id
from svc.api.services.environment.render import render
from svc.api.services.environment.validation import Update, check_total, update_of

MAX_ENVIRONMENTS = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EnvironmentDeps:
    """What the servicer works with."""

    db: Database
    clock: Clock
    vault: Vault


class EnvironmentServicer:
    """Environments, their settings and their sealed variables."""

    def __init__(self, deps: EnvironmentDeps) -> None:
        self._deps = deps

    async def CreateEnvironment(self, request: pb.CreateEnvironmentRequest, call: Call) -> pb.CreateEnvironmentResponse:
        """A preview environment: the one of kind production exists already."""
        check_id("project_id", "proj", request.project_id)
        slug = check_slug("slug", request.slug)
        made = await self._deps.db.write(self._create, call.workspace_id, request.project_id, slug)
        log.info(
            "environment created",
            extra=fields(environment_id=made.environment_id, project_id=made.project_id, environment_slug=slug),
        )
        return pb.CreateEnvironmentResponse(environment=made)

    def _create(self, connection: Connection, workspace_id: str, project_id: str, slug: str) -> pb.Environment:
        project = lookup.project(connection, workspace_id, project_id)
        known = queries.of_project(connection, project.id)
        for environment in known:
            if environment.slug == slug:
                raise AlreadyExists(
                    "environment.slug_taken",
                    f"Project {project.slug!r} has an environment {slug!r} already ({environment.id}).",
                    field="slug",
                    metadata={"environment_id": environment.id},
                )
        if len(known) >= MAX_ENVIRONMENTS:
            raise ResourceExhausted(
                "environment.too_many", f"Project {project.slug!r} has {len(known)} environments: that is the limit."
            )
        environment_id = new_id("env")
        queries.add(
            connection,
            environment_id=environment_id,
            workspace_id=workspace_id,
            project_id=project.id,
            slug=slug,
            kind=EnvironmentKind.PREVIEW,
            data_key=self._deps.vault.new_data_key(),
            now=self._deps.clock(),
        )
        return _rendered(connection, lookup.environment(connection, workspace_id, environment_id))

    async def GetEnvironment(self, request: pb.GetEnvironmentRequest, call: Call) -> pb.GetEnvironmentResponse:
        """By id, or by project and slug."""
        found = await self._deps.db.read(_find, call.workspace_id, request)
        return pb.GetEnvironmentResponse(environment=found)

    async def ListEnvironments(self, request: pb.ListEnvironmentsRequest, call: Call) -> pb.ListEnvironmentsResponse:
        """Production first, then by slug."""

        def load(connection: Connection) -> list[pb.Environment]:
            project = lookup.project(connection, call.workspace_id, request.project_id)
            return [_rendered(connection, e) for e in queries.of_project(connection, project.id)]

        return pb.ListEnvironmentsResponse(environments=await self._deps.db.read(load))

    async def UpdateEnvironment(self, request: pb.UpdateEnvironmentRequest, call: Call) -> pb.UpdateEnvironmentResponse:
        """Only what is present changes; applies to deployments created from then on."""
        updated = await self._deps.db.write(self._update, call.workspace_id, update_of(request))
        log.info("environment updated", extra=fields(environment_id=updated.environment_id))
        return pb.UpdateEnvironmentResponse(environment=updated)

    def _update(self, connection: Connection, workspace_id: str, update: Update) -> pb.Environment:
        environment = lookup.environment(connection, workspace_id, update.environment_id)
        now = self._deps.clock()
        layer = settings.combined(environment.settings_json, update.layer)
        queries.set_settings(connection, environment.id, layer, now)
        for name in update.unset_variables:
            queries.unset_variable(connection, environment.id, name)
        if update.set_variables:
            kept = opened_variables(connection, self._deps.vault, environment)
            check_total({**kept, **update.set_variables})
        for name, value in update.set_variables.items():
            sealed = self._deps.vault.seal(environment.data_key, value.encode(), variable_aad(environment.id, name))
            queries.set_variable(connection, environment.id, name, sealed, now)
        return _rendered(connection, lookup.environment(connection, workspace_id, environment.id))


def variable_aad(environment_id: str, name: str) -> str:
    """Where a variable's sealed value belongs."""
    return f"variable:{environment_id}:{name}"


def opened_variables(connection: Connection, vault: Vault, environment: Environment) -> dict[str, str]:
    """The environment's variables in clear. Keep them out of logs, messages and Restate."""
    sealed = queries.variables(connection, environment.id)
    return {
        name: vault.open(environment.data_key, value, variable_aad(environment.id, name)).decode()
        for name, value in sealed.items()
    }


def _find(connection: Connection, workspace_id: str, request: pb.GetEnvironmentRequest) -> pb.Environment:
    match request.WhichOneof("ref"):
        case "environment_id":
            found = lookup.environment(connection, workspace_id, request.environment_id)
        case "by_slug":
            project = lookup.project(connection, workspace_id, request.by_slug.project_id)
            found = lookup.environment_by_slug(connection, project, request.by_slug.slug, field="by_slug.slug")
        case _:
            raise InvalidArgument("ref", "is required: give environment_id or by_slug")
    return _rendered(connection, found)


def _rendered(connection: Connection, environment: Environment) -> pb.Environment:
    names = list(queries.variables(connection, environment.id))
    return render(environment, names, routes.live_deployment_id(connection, environment.id))
