"""Rows of a sample project for tests."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert

from pkg import intents
from pkg.clock import now_ms
from pkg.deployments import queries
from pkg.deployments.model import Deployment
from pkg.deployments.status import RunState, Status
from pkg.environments import queries as environments
from pkg.environments.model import Environment, EnvironmentKind
from pkg.ids import new_id
from pkg.installation import queries as installation
from pkg.intents import BuildIntent, DeployIntent
from pkg.projects import queries as projects
from pkg.projects.model import Project
from pkg.regions import queries as regions
from pkg.workspaces import queries as workspaces
from pkg.workspaces.tables import workspaces as workspace_rows


@dataclass(frozen=True)
class SampleProject:
    """One workspace with one project, its two environments and one region."""

    workspace_id: str
    project_id: str
    production_id: str
    preview_id: str
    region: str


def add_sample_project(connection: Connection, slug: str = "hello", *, workspace: str = "") -> SampleProject:
    """Writes the installation, a workspace (the default one, or one of that slug) and the rows of a sample project."""
    now = now_ms()
    installation.ensure(connection, now)
    workspace_id = add_workspace(connection, workspace) if workspace else workspaces.ensure_default(connection, now)
    project = Project(new_id("proj"), workspace_id, slug, slug, now, now)
    projects.add(connection, project)
    ids = {}
    for name, kind in (("production", EnvironmentKind.PRODUCTION), ("preview", EnvironmentKind.PREVIEW)):
        ids[name] = new_id("env")
        environments.add(
            connection,
            environment_id=ids[name],
            workspace_id=workspace_id,
            project_id=project.id,
            slug=name,
            kind=kind,
            data_key=b"",
            now=now,
        )
    regions.register(
        connection, name="local", krane_instance_id="k", krane_version="0", runtime="docker", engine="", now=now
    )
    return SampleProject(workspace_id, project.id, ids["production"], ids["preview"], "local")


def add_workspace(connection: Connection, slug: str) -> str:
    """Writes another workspace; its id. Nothing but tests makes one."""
    workspace_id = new_id("ws")
    connection.execute(insert(workspace_rows).values(id=workspace_id, slug=slug, build_slots=1, created_at=now_ms()))
    return workspace_id


def environment_of(connection: Connection, environment_id: str) -> Environment:
    """The environment, which must exist."""
    found = environments.get(connection, environment_id)
    assert found is not None
    return found


def deployment_of(connection: Connection, deployment_id: str) -> Deployment:
    """The deployment, which must exist."""
    found = queries.get(connection, deployment_id)
    assert found is not None
    return found


def record_deploy(
    connection: Connection,
    sample: SampleProject,
    *,
    image: str = "",
    environment_id: str = "",
    branch: str = "main",
    now: int | None = None,
) -> Deployment:
    """Records a deploy as the api does: of an image if one is named, of a build context otherwise."""
    deployment_id = new_id("dep")
    build = None
    if not image:
        build = BuildIntent(f"contexts/{sample.project_id}/{'0' * 64}.tar.gz", "Dockerfile")
    intent = DeployIntent(
        deployment_id=deployment_id,
        environment=environment_of(connection, environment_id or sample.production_id),
        branch=branch,
        keyspace_id=None,
        git={},
        settings={},
        variables_sealed=None,
        plain_variables=(),
        traceparent="",
        build_id=new_id("bld") if build else "",
        build=build,
        docker_image=image,
    )
    intents.record_deploy(connection, intent, now_ms() if now is None else now)
    return deployment_of(connection, deployment_id)


def ready_deployment(
    connection: Connection, sample: SampleProject, *, environment_id: str = "", branch: str = "main"
) -> Deployment:
    """Records a deploy and brings it to its end: it is ready, runs, and has no routes yet."""
    made = record_deploy(connection, sample, image="nginx:1", environment_id=environment_id, branch=branch)
    for status in (Status.DEPLOYING, Status.NETWORK, Status.READY):
        assert queries.enter(connection, made.id, status, 1)
    assert queries.set_run_state(connection, made.id, RunState.STARTING, 1)
    assert queries.set_run_state(connection, made.id, RunState.RUNNING, 1)
    queries.set_image(connection, made.id, "engine:sha256:1", "local", 1)
    return deployment_of(connection, made.id)
