"""The hostnames of a deployment. Functions of a connection."""

from sqlalchemy import Connection

from pkg.deployments.model import Deployment
from pkg.domains import queries as domains
from pkg.environments.model import Environment, EnvironmentKind
from pkg.hostnames import Hostname, HostnameKind, Sticky, hostnames_for
from pkg.projects import queries as projects
from pkg.workspaces import queries as workspaces


def hostnames_of(
    connection: Connection, deployment: Deployment, environment: Environment, apex_domain: str
) -> list[Hostname]:
    """Every generated hostname that the deployment may take; see `pkg.hostnames`."""
    project = projects.get(connection, deployment.project_id)
    assert project is not None
    return hostnames_for(
        project_slug=project.slug,
        environment_slug=environment.slug,
        is_production=environment.kind is EnvironmentKind.PRODUCTION,
        branch=deployment.branch,
        commit_sha=deployment.git_json.get("commit_sha") or None,
        deployment_id=deployment.id,
        apex=apex_domain,
        workspace_slug=workspaces.slug_of(connection, deployment.workspace_id),
    )


def environment_hostname(connection: Connection, environment: Environment, apex_domain: str) -> str:
    """The environment's own hostname: in production the project's."""
    project = projects.get(connection, environment.project_id)
    assert project is not None
    hostnames = hostnames_for(
        project_slug=project.slug,
        environment_slug=environment.slug,
        is_production=environment.kind is EnvironmentKind.PRODUCTION,
        branch="",
        commit_sha=None,
        deployment_id="",
        apex=apex_domain,
        workspace_slug=workspaces.slug_of(connection, environment.workspace_id),
    )
    return main_hostname(hostnames)


def domains_of(connection: Connection, environment_id: str) -> list[Hostname]:
    """The environment's active domains, which move with its own hostname."""
    return [
        Hostname(hostname, HostnameKind.CUSTOM, Sticky.ENVIRONMENT)
        for hostname in domains.active_hostnames(connection, environment_id)
    ]


def own_hostname(hostnames: list[Hostname]) -> str:
    """The one that never points at another deployment."""
    return next(one.hostname for one in hostnames if one.kind is HostnameKind.DEPLOYMENT)


def main_hostname(hostnames: list[Hostname]) -> str:
    """The one of the environment: in production the project's own."""
    by_kind = {one.kind: one.hostname for one in hostnames}
    return by_kind.get(HostnameKind.LIVE) or by_kind[HostnameKind.ENVIRONMENT]
