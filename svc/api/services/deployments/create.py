"""CreateDeployment: from a checked request to a recorded intent, in one transaction."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from pkg import intents
from pkg.builds import queries as builds
from pkg.builds.model import Build, BuildStatus, Context
from pkg.clock import Clock
from pkg.deployments import queries
from pkg.deployments.model import Deployment
from pkg.deployments.settings import SettingsOverride, from_json
from pkg.environments import queries as environments
from pkg.environments.model import Environment
from pkg.errors import FailedPrecondition, InvalidArgument
from pkg.ids import new_id
from pkg.intents import DeployIntent
from pkg.projects.model import Project
from pkg.secrets import AssociatedData, Vault
from svc.api.config import ApiConfig
from svc.api.requests import lookup
from svc.api.requests.idempotency import IdempotencyKey
from svc.api.requests.portability import check_builds_are_portable, check_image_is_portable
from svc.api.rpc import Call
from svc.api.services.builds.recording import build_intent, extend
from svc.api.services.deployments.images import named_image
from svc.api.services.deployments.validation import DeploymentParameters
from svc.api.services.deployments.views import View, view
from svc.api.services.environments.validation import check_total
from svc.api.services.environments.variables import opened_variables


@dataclass(frozen=True)
class Created:
    """What a request made, or had made before (`is_new` False)."""

    view: View
    is_new: bool
    superseded: tuple[Deployment, ...] = ()


def before(
    connection: Connection, workspace_id: str, project_id: str, key: IdempotencyKey | None, now: int
) -> View | None:
    """What the same request made before. Raises NotFound for an unknown project."""
    lookup.project(connection, workspace_id, project_id)
    made = None if key is None else key.find(connection, project_id, now)
    return None if made is None else view(connection, lookup.deployment(connection, workspace_id, made), now)


def create(
    connection: Connection,
    call: Call,
    parameters: DeploymentParameters,
    context: Context | None,
    key: IdempotencyKey | None,
    vault: Vault,
    config: ApiConfig,
    clock: Clock,
) -> Created:
    """Writes the deployment with its snapshot of settings and variables, and all that is written with it."""
    now = clock()
    made = before(connection, call.workspace_id, parameters.project_id, key, now)
    if made is not None:
        return Created(made, is_new=False)
    project = lookup.project(connection, call.workspace_id, parameters.project_id)
    environment = lookup.environment_by_slug(connection, project, parameters.environment_slug, field="environment_slug")
    built, docker_image = None, ""
    if parameters.build_id:
        built = lookup.build(connection, call.workspace_id, parameters.build_id)
    elif parameters.docker_image:
        named = named_image(connection, project, parameters.docker_image, config)
        built, docker_image = named.build, "" if named.build else named.name
    if built is not None:
        check_deployable(built, project)
        check_image_is_portable(connection, built.image_ref)
    if parameters.build is not None:
        check_builds_are_portable(connection, config)
    if context is not None:
        extend(connection, context, now)
    variables = opened_variables(connection, vault, environment)
    sealed = {one.name for one in environments.variables(connection, environment.id) if not one.is_plain}
    check_total("variables", {**parameters.variables, **variables})
    deployment_id = new_id("dep")
    build_id = new_id("bld") if parameters.build is not None else ""
    superseded_ids = intents.record_deploy(
        connection,
        DeployIntent(
            deployment_id=deployment_id,
            environment=environment,
            branch=parameters.branch,
            keyspace_id=parameters.keyspace_id,
            git=parameters.git,
            settings=from_json(environment.settings_json).merged(parameters.settings_override).to_json(),
            variables_sealed=_snapshot(vault, environment, deployment_id, {**parameters.variables, **variables}),
            plain_variables=tuple(sorted((parameters.variables.keys() | variables.keys()) - sealed)),
            traceparent=call.traceparent,
            build_id=build_id,
            build=None if parameters.build is None else build_intent(parameters.build, build_id, vault),
            built=built,
            docker_image=docker_image,
        ),
        now,
    )
    if hidden := sorted(parameters.variables.keys() & variables.keys()):
        notice = f"set in the environment, which wins over the deployment's own: {', '.join(hidden)}"
        queries.add_notice(connection, deployment_id, notice, now)
    for notice in scaled_notices(environment, parameters.settings_override):
        queries.add_notice(connection, deployment_id, notice, now)
    superseded = [d for d in (queries.get(connection, i) for i in superseded_ids) if d is not None]
    for older in superseded:
        if older.build_id is not None:
            # a pending deployment has no slot, so nothing builds for it: its build ends with it
            builds.finish(connection, older.build_id, BuildStatus.CANCELLED, now)
    if key is not None:
        key.keep(connection, project.id, deployment_id, now)
    recorded = lookup.deployment(connection, call.workspace_id, deployment_id)
    return Created(view(connection, recorded, now), is_new=True, superseded=tuple(superseded))


def scaled_notices(environment: Environment, override: SettingsOverride) -> list[str]:
    """Which numbers of instances that a deploy asks for do not count, and why."""
    found = [scaled_notice(environment, override)]
    for process in override.get("processes") or ():
        name, replicas = process["name"], process.get("replicas")
        scaled_to = environment.process_replicas_json.get(name)
        if None not in (replicas, scaled_to) and replicas != scaled_to:
            found.append(
                f"replicas = {replicas} of process {name} does not count: the environment was scaled to {scaled_to}. "
                f"`sealift scale {name}={replicas}` changes that"
            )
    return [notice for notice in found if notice]


def scaled_notice(environment: Environment, override: SettingsOverride) -> str:
    """Why the number of instances that a deploy asks for does not count, or is the last one; "" if neither."""
    scaled_to = environment.replicas
    if scaled_to is None:
        return ""
    if override.get("autoscaling"):
        return f"the bounds of [run] replace the number {scaled_to} that the environment was scaled to"
    replicas = override.get("replicas")
    if replicas in (None, scaled_to):
        return ""
    return (
        f"replicas = {replicas} of [run] does not count: the environment was scaled to {scaled_to}. "
        f"`sealift scale {replicas}` changes that; or set replicas = {scaled_to}, or remove it"
    )


def check_deployable(build: Build, project: Project) -> None:
    """Raises InvalidArgument or FailedPrecondition unless the build's image may be deployed in the project."""
    if build.project_id != project.id:
        raise InvalidArgument(
            "build_id",
            f"{build.id} is a build of another project: `sealift builds --project {project.slug}` lists those of "
            f"{project.slug!r}",
            code="build.foreign",
        )
    if not build.status.is_terminal:
        raise FailedPrecondition(
            "build.not_finished",
            f"Build {build.id} is {build.status}, so it has no image yet: wait for it with "
            f"`sealift logs --build --follow {build.id}`.",
            field="build_id",
        )
    if build.status is not BuildStatus.SUCCEEDED:
        raise FailedPrecondition(
            "build.not_succeeded",
            f"Build {build.id} {'failed' if build.status is BuildStatus.FAILED else 'was cancelled'}, so it has no "
            f"image: `sealift build show {build.id}` shows why. Deploy a build that succeeded, or build again.",
            field="build_id",
        )
    if not build.image_ref:
        raise FailedPrecondition(
            "build.image_gone",
            f"The image of build {build.id} was deleted, because nothing used it any more: build the same commit "
            "again, or deploy a newer build of `sealift builds`.",
            field="build_id",
        )


def _snapshot(vault: Vault, environment: Environment, deployment_id: str, variables: Mapping[str, str]) -> bytes | None:
    if not variables:
        return None
    return vault.seal(
        environment.data_key, json.dumps(dict(variables)).encode(), AssociatedData.deployment_variables(deployment_id)
    )
