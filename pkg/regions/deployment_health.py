"""The health of a deployment's instances, from its settings and the regions' last reports."""

from sqlalchemy import Connection

from pkg.deployments.model import Deployment
from pkg.deployments.settings import Settings, from_json
from pkg.environments import queries as environments
from pkg.regions import queries
from pkg.regions.health import DeploymentHealth, Health, health_of, worst
from pkg.regions.shortage import CAPACITY, is_exhausted
from pkg.regions.silence import silences

NO_ADDRESS = "instance.no_address"
NO_DISK = "instance.no_disk"
NO_CAPACITY = "instance.no_capacity"


def required_regions(connection: Connection, deployment_id: str) -> list[str]:
    """The regions that are to run the deployment: it is up only when it is up in all of them."""
    return [t.region for t in queries.topologies_of(connection, deployment_id) if not t.stopped]


def current_settings(connection: Connection, deployment: Deployment) -> Settings:
    """The settings of the deployment, with the numbers of instances that its environment was scaled to."""
    of = deployment.environment_id
    replicas = environments.replicas(connection, [of]).get(of)
    processes = environments.process_replicas(connection, [of]).get(of, {})
    return from_json(deployment.settings_json).scaled(replicas, processes)


def reported_health(connection: Connection, deployment: Deployment, now: int) -> DeploymentHealth:
    """Whether the deployment is up with all of its processes that are to run, by what the regions reported last."""
    settings = current_settings(connection, deployment)
    wanted = {"": settings.replicas}
    if not deployment.processes_stopped:
        wanted |= {one.name: one.replicas for one in settings.processes if one.replicas}
    required = required_regions(connection, deployment.id)
    found, silent = queries.instances_of(connection, deployment.id), silences(queries.every(connection), now)
    return worst([health_of(required, replicas, found, silent, process) for process, replicas in wanted.items()])


def shortage_code(connection: Connection, deployment: Deployment, now: int) -> str:
    """The error code if an instance waits for what its region lacks and no standby can end for it, else ""."""
    waiting = {i.region: i.waits_for for i in queries.instances_of(connection, deployment.id) if i.waits_for}
    if not waiting or not is_exhausted(connection, sorted(waiting), now):
        return ""
    if CAPACITY in waiting.values():
        return NO_CAPACITY
    return NO_DISK if "disk" in waiting.values() else NO_ADDRESS


def is_decided(connection: Connection, deployment: Deployment, now: int) -> bool:
    """Whether the instances need no further waiting: they are healthy, or never will be."""
    if reported_health(connection, deployment, now).health in (Health.HEALTHY, Health.FAILED):
        return True
    return shortage_code(connection, deployment, now) != ""
