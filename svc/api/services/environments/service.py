"""The servicer of EnvironmentService."""

# ruff: noqa: N802 - methods are named as the protos name them

import logging
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from pkg import intents
from pkg.deletions.gates import check_not_deleting
from pkg.deployments.settings import combined, from_json
from pkg.desired.processes import MAX_PROCESS_REPLICAS, name_problem
from pkg.environments import queries
from pkg.environments.model import Environment, EnvironmentKind
from pkg.errors import AlreadyExists, InvalidArgument, ResourceExhausted
from pkg.ids import new_id
from pkg.observability.logging import fields
from pkg.projects.slugs import check_slug
from pkg.routes import queries as routes
from pkg.secrets import AssociatedData
from sealift.ctrl.v1 import environment_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.requests import lookup, operations, settings
from svc.api.requests.checks import check_id, check_range
from svc.api.requests.idempotency import key_of
from svc.api.requests.mutation import Change, mutate
from svc.api.rpc import Call
from svc.api.services.deletions.recording import delete
from svc.api.services.environments.validation import Update, check_not_scaled, check_replicas, check_total, update_of
from svc.api.services.environments.variables import described, opened, opened_variables

MAX_ENVIRONMENTS = 100
_KINDS = {
    EnvironmentKind.PRODUCTION: pb.ENVIRONMENT_KIND_PRODUCTION,
    EnvironmentKind.PREVIEW: pb.ENVIRONMENT_KIND_PREVIEW,
}

log = logging.getLogger(__name__)


class EnvironmentServicer:
    """Environments, their settings and their sealed variables."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def CreateEnvironment(self, request: pb.CreateEnvironmentRequest, call: Call) -> pb.CreateEnvironmentResponse:
        """A preview environment: the one of kind production exists already."""
        check_id("project_id", "proj", request.project_id)
        slug = check_slug("slug", request.slug)

        def create(connection: Connection) -> Change[pb.Environment]:
            made = self._create(connection, call.workspace_id, request.project_id, slug)
            return Change(made, {"project_id": made.project_id, "environment_id": made.environment_id})

        made = await mutate(self._deps, call, create)
        log.info(
            "environment created",
            extra=fields(environment_id=made.environment_id, project_id=made.project_id, environment_slug=slug),
        )
        return pb.CreateEnvironmentResponse(environment=made)

    def _create(self, connection: Connection, workspace_id: str, project_id: str, slug: str) -> pb.Environment:
        project = lookup.project(connection, workspace_id, project_id)
        check_not_deleting(connection, project.deletion_id)
        known = queries.of_project(connection, project.id)
        for environment in known:
            if environment.slug == slug:
                raise AlreadyExists(
                    "environment.slug_taken",
                    f"Project {project.slug!r} already has an environment {slug!r} ({environment.id}): use that one, "
                    "or choose another slug.",
                    field="slug",
                    metadata={"environment_id": environment.id},
                )
        if len(known) >= MAX_ENVIRONMENTS:
            raise ResourceExhausted(
                "environment.too_many",
                f"Project {project.slug!r} has {len(known)} environments, which is the limit: deploy branches into one "
                "of them, each branch gets its own address.",
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
        return self._rendered(connection, lookup.environment(connection, workspace_id, environment_id))

    async def GetEnvironment(self, request: pb.GetEnvironmentRequest, call: Call) -> pb.GetEnvironmentResponse:
        """By id, or by project and slug."""
        found = await self._deps.db.read(self._find, call.workspace_id, request)
        return pb.GetEnvironmentResponse(environment=found)

    async def ListEnvironments(self, request: pb.ListEnvironmentsRequest, call: Call) -> pb.ListEnvironmentsResponse:
        """Production first, then by slug."""

        def load(connection: Connection) -> list[pb.Environment]:
            project = lookup.project(connection, call.workspace_id, request.project_id)
            return [self._rendered(connection, e, has_states=False) for e in queries.of_project(connection, project.id)]

        return pb.ListEnvironmentsResponse(environments=await self._deps.db.read(load))

    async def UpdateEnvironment(self, request: pb.UpdateEnvironmentRequest, call: Call) -> pb.UpdateEnvironmentResponse:
        """Only what is present changes; applies to deployments created from then on."""
        changes = update_of(request)

        def update(connection: Connection) -> Change[pb.Environment]:
            updated = self._update(connection, call.workspace_id, changes)
            return Change(updated, {"project_id": updated.project_id, "environment_id": updated.environment_id})

        updated = await mutate(self._deps, call, update)
        log.info("environment updated", extra=fields(environment_id=updated.environment_id))
        return pb.UpdateEnvironmentResponse(environment=updated)

    async def Scale(self, request: pb.ScaleRequest, call: Call) -> pb.ScaleResponse:
        """Another number of instances for every deployment of the environment, from now on; watch the operation."""
        check_id("environment_id", "env", request.environment_id)
        if request.process:
            replicas = check_range("replicas", request.replicas, 0, MAX_PROCESS_REPLICAS)
            if problem := name_problem(request.process):
                raise InvalidArgument("process", problem)
        else:
            replicas = check_replicas("replicas", request.replicas)

        def environment_of(connection: Connection) -> Environment:
            return lookup.environment(connection, call.workspace_id, request.environment_id)

        def scale(connection: Connection, environment: Environment, now: int) -> str:
            return intents.record_scale(
                connection,
                environment=environment,
                replicas=replicas,
                process=request.process,
                traceparent=call.traceparent,
                now=now,
            )

        operation, already = await operations.record(
            self._deps, call, environment_of, scale, key_of(request, self._deps.payload_key)
        )
        return pb.ScaleResponse(operation=operation, already_recorded=already)

    def _update(self, connection: Connection, workspace_id: str, update: Update) -> pb.Environment:
        environment = lookup.environment(connection, workspace_id, update.environment_id)
        check_not_deleting(connection, environment.deletion_id)
        now = self._deps.clock()
        check_not_scaled(environment, update.settings_override)
        override = combined(environment.settings_json, update.settings_override)
        from_json(override)  # refuses bounds that contradict those of the environment
        queries.set_settings(connection, environment.id, override, now)
        for name in update.unset_variables:
            queries.unset_variable(connection, environment.id, name)
        changed = {**update.set_variables, **update.set_plain_variables}
        if changed:
            check_total("set_variables", {**opened_variables(connection, self._deps.vault, environment), **changed})
        for name, value in changed.items():
            sealed = self._deps.vault.seal(
                environment.data_key, value.encode(), AssociatedData.environment_variable(environment.id, name)
            )
            is_plain = name in update.set_plain_variables
            queries.set_variable(connection, environment.id, name, sealed, now, is_plain=is_plain)
        return self._rendered(connection, lookup.environment(connection, workspace_id, environment.id))

    async def DeleteEnvironment(self, request: pb.DeleteEnvironmentRequest, call: Call) -> pb.DeleteEnvironmentResponse:
        """Answers after the commit: from then on nothing new can be begun there, and the worker deletes it."""
        check_id("environment_id", "env", request.environment_id)

        def record(connection: Connection) -> tuple[str, bool]:
            environment = lookup.environment(connection, call.workspace_id, request.environment_id)
            return intents.record_environment_deletion(
                connection,
                project=lookup.project(connection, call.workspace_id, environment.project_id),
                environment=environment,
                traceparent=call.traceparent,
                now=self._deps.clock(),
            )

        deletion, already = await delete(self._deps, call, record, skip_regions=request.skip_regions)
        return pb.DeleteEnvironmentResponse(deletion=deletion, already_recorded=already)

    def _find(self, connection: Connection, workspace_id: str, request: pb.GetEnvironmentRequest) -> pb.Environment:
        match request.WhichOneof("ref"):
            case "environment_id":
                found = lookup.environment(connection, workspace_id, request.environment_id)
            case "by_slug":
                project = lookup.project(connection, workspace_id, request.by_slug.project_id)
                found = lookup.environment_by_slug(connection, project, request.by_slug.slug, field="by_slug.slug")
            case _:
                raise InvalidArgument("ref", "is required: give environment_id or by_slug")
        return self._rendered(connection, found)

    def _rendered(self, connection: Connection, environment: Environment, *, has_states: bool = True) -> pb.Environment:
        """`has_states`: also what the live deployment has of the variables, for which its snapshot is opened."""
        variables = queries.variables(connection, environment.id)
        plain = opened(self._deps.vault, environment, [variable for variable in variables if variable.is_plain])
        live_id = routes.live_deployment_id(connection, environment.id)
        rendered = _render(
            environment,
            [variable.name for variable in variables],
            plain,
            live_id,
            is_stopped=bool(routes.stopped_environments(connection, [environment.id])),
        )
        if has_states:
            rendered.variables.extend(described(connection, self._deps.vault, environment, variables, live_id))
        return rendered


def _render(
    environment: Environment,
    variable_names: Sequence[str],
    plain: Mapping[str, str],
    live_deployment_id: str | None,
    *,
    is_stopped: bool,
) -> pb.Environment:
    """The environment; of its variables the values only of those that may be seen (`plain`)."""
    return pb.Environment(
        environment_id=environment.id,
        project_id=environment.project_id,
        slug=environment.slug,
        kind=_KINDS[environment.kind],
        settings=settings.render(from_json(environment.settings_json)),
        variable_names=variable_names,
        plain_variables=plain,
        live_deployment_id=live_deployment_id or "",
        is_rolled_back=environment.is_rolled_back,
        is_stopped=is_stopped,
        replicas=environment.replicas,
        process_replicas=environment.process_replicas_json,
        created_at=environment.created_at,
        updated_at=environment.updated_at,
        deletion_id=environment.deletion_id or "",
    )
