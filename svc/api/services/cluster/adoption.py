"""A report that says where an app answers, and the port that is recorded for its deployment."""

from dataclasses import replace

from sqlalchemy import Connection

from pkg.regions import ports
from pkg.regions.health import InstanceState
from pkg.regions.queries import InstanceRow


def with_port(connection: Connection, row: InstanceRow, port: int, now: int) -> InstanceRow:
    """The row as it is to be stored; records `port` (0: nothing was found) if it is the first of the deployment.

    An instance that answers on another port than the recorded one is not healthy: one port serves all of them.
    """
    if port == 0:
        return row
    standing = ports.adopt(connection, row.deployment_id, row.region, port, now)
    if standing in (0, port):
        return row
    reason = (
        f"the app listens on port {port} here, but another instance was found on port {standing} before, and one port "
        f"serves all: let it listen on the same port everywhere, or set [run] port"
    )
    return replace(row, state=InstanceState.FAILED, reason=reason)
