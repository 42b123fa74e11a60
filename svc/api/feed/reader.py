"""Reading the feed: a complete snapshot with its version, or the changes after a cursor. Functions of a connection.

Both render what a reference stands for *now*, in the transaction that reads the reference: a message may be newer than
the version it carries, never older.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from pkg import installation
from pkg.config.sections import Ingress
from pkg.db import rows
from pkg.deployments import queries as deployments
from pkg.deployments.addresses import hostnames_of, main_hostname, own_hostname
from pkg.deployments.model import Deployment
from pkg.deployments.settings import from_json
from pkg.environments import queries as environments
from pkg.environments.model import Environment
from pkg.errors import Internal
from pkg.feed import queries
from pkg.feed.queries import Change, ChangeKind
from pkg.regions import ports
from pkg.regions import queries as regions
from pkg.regions.queries import TopologyRow
from pkg.regions.tables import topologies
from pkg.routes import queries as routes
from pkg.routes.queries import Route
from pkg.secrets import AssociatedData, Vault
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.api.requests import settings
from svc.api.requests.sticky import STICKY_KINDS

CHANGES_AT_ONCE = 200


@dataclass(frozen=True)
class Rendering:
    """What topologies are rendered with: the key of sealed variables, and how apps are reached."""

    vault: Vault
    ingress: Ingress


@dataclass(frozen=True)
class Batch:
    """What to send next. After it, the receiver has seen everything up to `version` of `epoch`.

    `is_complete` False: more is waiting already.
    """

    messages: tuple[pb.WatchDesiredStateResponse, ...]
    epoch: str
    version: int
    is_complete: bool = True


def next_batch(connection: Connection, rendering: Rendering, region: str, epoch: str, cursor: int | None) -> Batch:
    """The changes after `cursor`; a snapshot for None, another epoch, a cursor past head or pruned."""
    known = installation.get(connection)
    assert known is not None
    head = queries.head(connection)
    if cursor is None or epoch != known.epoch or cursor > head.version or cursor < head.pruned_to:
        return Batch(
            tuple(_snapshot(connection, rendering, region, known.epoch, head.version)), known.epoch, head.version
        )
    changes = queries.after(connection, region, cursor, CHANGES_AT_ONCE)
    messages = tuple(_render(connection, rendering, region, change) for change in changes)
    is_complete = len(changes) < CHANGES_AT_ONCE
    return Batch(messages, known.epoch, head.version if is_complete else changes[-1].version, is_complete)


def _snapshot(
    connection: Connection, rendering: Rendering, region: str, epoch: str, version: int
) -> Iterator[pb.WatchDesiredStateResponse]:
    yield pb.WatchDesiredStateResponse(version=version, snapshot_begin=pb.SnapshotBegin(epoch=epoch))
    for row in regions.topologies_in(connection, region):
        yield pb.WatchDesiredStateResponse(version=version, topology=_topology(connection, rendering, row))
    for route in routes.every(connection):
        yield pb.WatchDesiredStateResponse(version=version, route=_route(route))
    yield pb.WatchDesiredStateResponse(version=version, snapshot_end=pb.SnapshotEnd())


def _render(connection: Connection, rendering: Rendering, region: str, change: Change) -> pb.WatchDesiredStateResponse:
    message = pb.WatchDesiredStateResponse(version=change.version)
    if change.kind is ChangeKind.ROUTE:
        route = routes.get(connection, change.key)
        if route is None:
            message.route_removed.hostname = change.key
        else:
            message.route.CopyFrom(_route(route))
        return message
    query = select(topologies).where(topologies.c.deployment_id == change.key, topologies.c.region == region)
    row = rows.one(TopologyRow, connection.execute(query))
    if row is None:
        message.topology_removed.deployment_id = change.key
    else:
        message.topology.CopyFrom(_topology(connection, rendering, row))
    return message


def _topology(connection: Connection, rendering: Rendering, row: TopologyRow) -> pb.Topology:
    deployment = deployments.get(connection, row.deployment_id)
    if deployment is None:
        raise Internal("feed.deployment_gone", f"the topology of {row.deployment_id} has no deployment")
    environment = environments.get(connection, deployment.environment_id)
    if environment is None:
        raise Internal("feed.environment_gone", f"the environment of {deployment.id} is gone")
    ingress = rendering.ingress
    hostnames = hostnames_of(connection, deployment, environment, ingress.apex_domain)
    return pb.Topology(
        deployment_id=deployment.id,
        workspace_id=deployment.workspace_id,
        project_id=deployment.project_id,
        environment_id=deployment.environment_id,
        image_ref=row.image_ref,
        settings=settings.render(from_json(deployment.settings_json)),
        variables={} if row.stopped else _variables(rendering.vault, environment, deployment),
        plain_variables=[] if row.stopped else deployment.plain_variables_json,
        stopped=row.stopped,
        traceparent=deployment.traceparent,
        own_authority=ingress.authority(own_hostname(hostnames)),
        public_url=ingress.url(main_hostname(hostnames)),
        adopted_port=ports.adopted(connection, deployment.id),
    )


def _variables(vault: Vault, environment: Environment, deployment: Deployment) -> dict[str, str]:
    if deployment.variables_sealed is None:
        return {}
    opened = vault.open(
        environment.data_key, deployment.variables_sealed, AssociatedData.deployment_variables(deployment.id)
    )
    return {str(name): str(value) for name, value in json.loads(opened).items()}


def _route(route: Route) -> pb.DesiredRoute:
    return pb.DesiredRoute(
        hostname=route.hostname, deployment_id=route.deployment_id, sticky=STICKY_KINDS[route.sticky]
    )
