"""What the database knows of the builds in a queue: asked before a slot is handed on."""

import msgspec
from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.workspaces.queries import build_slots
from svc.worker.deps import WorkerDeps


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """How many slots there are, and which builds need none any more."""

    limit: int
    ended: list[str]
    now: int


async def take_census(deps: WorkerDeps, workspace_id: str, build_ids: list[str]) -> Census:
    """Read now: the limit may have been changed, and a build may have ended without a word."""

    def read(connection: Connection) -> Census:
        ended = []
        for build_id in build_ids:
            found = builds.get(connection, build_id)
            if found is None or found.status.is_terminal:
                ended.append(build_id)
        return Census(limit=build_slots(connection, workspace_id), ended=ended, now=deps.clock())

    return await deps.db.read(read)
