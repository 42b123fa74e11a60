"""Look-ups by id within the caller's workspace. Each raises NotFound for what is not there."""

from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.model import Build
from pkg.deployments import queries as deployments
from pkg.deployments.model import Deployment
from pkg.environments import queries as environments
from pkg.environments.model import Environment
from pkg.errors import NotFound
from pkg.jobs import queries as jobs
from pkg.jobs.model import Job
from pkg.operations import queries as operations
from pkg.operations.model import Operation
from pkg.projects import queries as projects
from pkg.projects.model import Project
from svc.api.requests.checks import check_id, shown


def _missing(kind: str, some_id: str, found: Project | Environment | Deployment | Build | None) -> str:
    return f"There is no {kind} {some_id}" if found is None else f"The {kind} {some_id} was deleted"


def project(connection: Connection, workspace_id: str, project_id: str) -> Project:
    """The project, or NotFound `project.not_found`."""
    check_id("project_id", "proj", project_id)
    found = projects.get(connection, project_id, workspace_id=workspace_id)
    if found is None or found.deleted_at is not None:
        raise NotFound(
            "project.not_found",
            f"{_missing('project', project_id, found)}: `sealift projects` lists yours.",
            field="project_id",
        )
    return found


def environment(connection: Connection, workspace_id: str, environment_id: str) -> Environment:
    """The environment, or NotFound `environment.not_found`."""
    check_id("environment_id", "env", environment_id)
    found = environments.get(connection, environment_id, workspace_id=workspace_id)
    if found is None or found.deleted_at is not None:
        raise NotFound(
            "environment.not_found",
            f"{_missing('environment', environment_id, found)}: `sealift environments` lists a project's.",
            field="environment_id",
        )
    return found


def environment_by_slug(connection: Connection, of: Project, slug: str, *, field: str) -> Environment:
    """The project's environment, or NotFound `environment.not_found` naming those that exist."""
    found = environments.by_slug(connection, of.id, slug)
    if found is None:
        known = ", ".join(e.slug for e in environments.of_project(connection, of.id)[:10])
        raise NotFound(
            "environment.not_found",
            f"Project {of.slug!r} has no environment {shown(slug)}: it has {known}.",
            field=field,
        )
    return found


def deployment(
    connection: Connection, workspace_id: str, deployment_id: str, *, field: str = "deployment_id"
) -> Deployment:
    """The deployment, or NotFound `deployment.not_found` that names the field."""
    check_id(field, "dep", deployment_id)
    found = deployments.get(connection, deployment_id, workspace_id=workspace_id)
    if found is None or found.deleted_at is not None:
        raise NotFound(
            "deployment.not_found",
            f"{_missing('deployment', deployment_id, found)}: `sealift ls` lists yours.",
            field=field,
        )
    return found


def build(connection: Connection, workspace_id: str, build_id: str) -> Build:
    """The build, or NotFound `build.not_found`."""
    check_id("build_id", "bld", build_id)
    found = builds.get(connection, build_id, workspace_id=workspace_id)
    if found is None or found.deleted_at is not None:
        raise NotFound(
            "build.not_found",
            f"{_missing('build', build_id, found)}: `sealift builds` lists those of a project.",
            field="build_id",
        )
    return found


def operation(connection: Connection, workspace_id: str, operation_id: str) -> Operation:
    """The operation, or NotFound `operation.not_found`."""
    check_id("operation_id", "op", operation_id)
    found = operations.get(connection, operation_id, workspace_id=workspace_id)
    if found is None:
        raise NotFound("operation.not_found", f"There is no operation {operation_id}.", field="operation_id")
    return found


def job(connection: Connection, workspace_id: str, job_id: str) -> Job:
    """The job, or NotFound `job.not_found`."""
    check_id("job_id", "job", job_id)
    found = jobs.get(connection, job_id, workspace_id=workspace_id)
    if found is None:
        raise NotFound(
            "job.not_found",
            f"There is no job {job_id} (any more): `sealift run --list` lists those of an environment.",
            field="job_id",
        )
    return found
