"""First step: what is to be deployed, and is it still wanted?"""

import msgspec
from restate import TerminalError
from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus
from pkg.deployments import queries as deployments
from svc.worker.deps import WorkerDeps


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What the workflow needs to know of its row; nothing of it changes later."""

    code_version: int
    deployment_id: str
    status: str
    is_over: bool
    environment_id: str
    build_id: str
    traceparent: str


async def open_deploy(deps: WorkerDeps, deployment_id: str, code_version: int) -> Opened:
    """Reads the row. One that has ended already (superseded or cancelled while pending) ends its build, too."""

    def write(connection: Connection) -> Opened:
        found = deployments.get(connection, deployment_id)
        if found is None:
            raise TerminalError(f"no deployment {deployment_id}", status_code=404)
        if found.status.is_terminal and found.build_id is not None:
            builds.finish(connection, found.build_id, BuildStatus.CANCELLED, deps.clock())
        return Opened(
            code_version=code_version,
            deployment_id=found.id,
            status=found.status,
            is_over=found.status.is_terminal,
            environment_id=found.environment_id,
            build_id=found.build_id or "",
            traceparent=found.traceparent,
        )

    return await deps.db.write(write)
