"""The port of a deployment that sets none: where its app was found to listen first, recorded once.

It stands beside the snapshot, which never changes: all replicas, all regions and every later start (a rollback, a wake)
use the recorded one.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from pkg.db import upsert
from pkg.deployments import queries
from pkg.deployments.settings import DEFAULT_PORT, from_json
from pkg.deployments.tables import deployment_ports
from pkg.desired.capabilities import TOPOLOGY
from pkg.feed.queries import record
from pkg.regions import queries as regions


def adopted(connection: Connection, deployment_id: str) -> int:
    """The recorded port; 0 while there is none."""
    return adopted_by(connection, [deployment_id]).get(deployment_id, 0)


def adopted_by(connection: Connection, deployment_ids: Sequence[str]) -> dict[str, int]:
    """The recorded ports of these deployments; those without one are left out."""
    query = select(deployment_ports.c.deployment_id, deployment_ports.c.port).where(
        deployment_ports.c.deployment_id.in_(list(deployment_ids))
    )
    return {str(row.deployment_id): int(row.port) for row in connection.execute(query)}


def adopt(connection: Connection, deployment_id: str, region: str, port: int, now: int) -> int:
    """Records where the app was found to listen, unless a port is recorded already; the port that counts.

    The first record stands. The same transaction informs every region and the user. Idempotent. 0: the deployment
    sets its port, or is not to run in that region: nothing is recorded.
    """
    found = queries.get(connection, deployment_id)
    if found is None or from_json(found.settings_json).port is not None:
        return 0
    placed = [topology.region for topology in regions.topologies_of(connection, deployment_id) if not topology.stopped]
    if region not in placed:
        return 0
    written = connection.execute(
        upsert.insert(connection, deployment_ports)
        .values(deployment_id=deployment_id, port=port, region=region, recorded_at=now)
        .on_conflict_do_nothing()
        .returning(deployment_ports.c.port)
    )
    if written.first() is None:
        return adopted(connection, deployment_id)
    for name in placed:
        record(connection, TOPOLOGY, deployment_id, now, region=name)
    if port != DEFAULT_PORT:
        queries.add_notice(connection, deployment_id, notice(port), now)
    return port


def notice(port: int) -> str:
    """For the user: which port is used, and how to say so."""
    return (
        f"The app listens on port {port}, not on $PORT ({DEFAULT_PORT}), so port {port} is used. Set it to start "
        f"faster: [run] port = {port} in sealift.toml."
    )
