"""Which instance a command runs in."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from pkg.deployments.model import Deployment
from pkg.deployments.variables import opened_snapshot
from pkg.environments import queries as environments
from pkg.errors import FailedPrecondition
from pkg.observability.logging import redact
from pkg.output.redact import Redactor
from pkg.output.variables import secret_values
from pkg.regions import queries as regions
from pkg.regions.health import InstanceState
from pkg.regions.queries import InstanceRow
from pkg.routes import queries as routes
from pkg.secrets import Vault
from sealift.ctrl.v1 import exec_pb2 as pb
from svc.api.requests import lookup

MAX_AUDITED_CHARS = 1024
_ENDED = (InstanceState.STOPPED, InstanceState.FAILED)


@dataclass(frozen=True)
class Place:
    """The instance of a command."""

    deployment: Deployment
    instance: InstanceRow


def find_place(connection: Connection, workspace_id: str, start: pb.ExecStart) -> Place:
    """The instance that is named, else the first healthy one.

    Raises:
        NotFound: there is no such environment or deployment.
        FailedPrecondition: `exec.no_instance`.
    """
    if start.environment_id:
        place = lookup.environment(connection, workspace_id, start.environment_id)
        live = routes.live_deployment_id(connection, place.id)
        if live is None:
            raise FailedPrecondition(
                "exec.no_instance",
                f"No deployment is live in the environment {place.slug!r}: deploy first, or name a deployment.",
            )
        deployment = lookup.deployment(connection, workspace_id, live)
    else:
        deployment = lookup.deployment(connection, workspace_id, start.deployment_id)
    found = [one for one in regions.instances_of(connection, deployment.id) if one.process == start.process]
    if start.region:
        found = [one for one in found if one.region == start.region]
    return Place(deployment, _chosen(deployment, found, start))


def _chosen(deployment: Deployment, found: Sequence[InstanceRow], start: pb.ExecStart) -> InstanceRow:
    where = f" of process {start.process!r}" if start.process else ""
    if start.region:
        where += f" in region {start.region!r}"
    running = [one for one in found if one.state not in _ENDED]
    if start.HasField("replica"):
        named = [one for one in running if one.replica == start.replica]
        if named:
            return named[0]
        have = ", ".join(sorted({str(one.replica) for one in running})) or "none"
        raise FailedPrecondition(
            "exec.no_instance",
            f"{deployment.id} has no instance {start.replica} that runs{where}; those that run: {have}.",
        )
    healthy = [one for one in running if one.state == InstanceState.HEALTHY]
    if healthy:
        return healthy[0]
    if running:
        states = ", ".join(f"{one.replica} {one.state}" for one in running[:5])
        raise FailedPrecondition(
            "exec.no_instance",
            f"No instance of {deployment.id} is healthy{where} ({states}): name one with --instance to run it there.",
        )
    raise FailedPrecondition("exec.no_instance", f"No instance of {deployment.id} runs{where}: see `sealift ps`.")


def audited_command(connection: Connection, vault: Vault, deployment: Deployment, command: Sequence[str]) -> str:
    """The command as the audit log keeps it: without values of the deployment's secret variables, cut."""
    environment = environments.get(connection, deployment.environment_id)
    text = shlex.join(command)
    if environment is not None:
        variables = opened_snapshot(vault, environment.data_key, deployment)
        text = Redactor(secret_values(variables, ())).text(text)
    text = redact(text)
    return text if len(text) <= MAX_AUDITED_CHARS else f"{text[:MAX_AUDITED_CHARS]}…"
