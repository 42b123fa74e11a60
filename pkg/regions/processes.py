"""Whether the processes of a deployment beside web are to run: those of one that is not live are stopped.

A warm deployment on standby costs memory and nothing else, while two versions of a worker would take each other's jobs.
So the processes of a deployment are stopped once another one is live, and started again before it gets that back. One
that is being deployed has its processes, too.
Deployments without processes are never touched.
"""

from sqlalchemy import Connection, delete, update

from pkg.deployments import queries as deployments
from pkg.deployments import tables
from pkg.deployments.settings import from_json
from pkg.desired.capabilities import TOPOLOGY
from pkg.feed.queries import record
from pkg.regions import queries
from pkg.regions.tables import instances


def stop(connection: Connection, deployment_id: str, now: int) -> bool:
    """No region is to run the deployment's processes. False: nothing changes. Idempotent."""
    return _set_stopped(connection, deployment_id, now, stopped=True)


def start(connection: Connection, deployment_id: str, now: int) -> bool:
    """The regions that run the deployment are to run its processes, too. False: nothing changes. Idempotent."""
    return _set_stopped(connection, deployment_id, now, stopped=False)


def _set_stopped(connection: Connection, deployment_id: str, now: int, *, stopped: bool) -> bool:
    found = deployments.get(connection, deployment_id)
    if found is None or found.processes_stopped is stopped or not from_json(found.settings_json).processes:
        return False
    connection.execute(
        update(tables.deployments).where(tables.deployments.c.id == deployment_id).values(processes_stopped=stopped)
    )
    if not stopped:
        # what an earlier run left behind says nothing about this one
        connection.execute(
            delete(instances).where(instances.c.deployment_id == deployment_id, instances.c.process != "")
        )
    for placed in queries.topologies_of(connection, deployment_id):
        if not placed.stopped:
            record(connection, TOPOLOGY, deployment_id, now, region=placed.region)
    return True
