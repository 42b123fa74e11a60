"""One project at Depot for each project here, made once, its id stored in the project's row.

A claim in the row keeps two builds from making two. What a worker has made and could not store any more is found again
by its name, which contains the project's id; see docs/adr/0037-a-depot-project-for-each-project.md.
"""

import asyncio
import logging

from sqlalchemy import Connection

from pkg.builds.failures import BuilderUnavailable, FailureKind
from pkg.clock import Clock, now_ms
from pkg.db import Database
from pkg.depot.api import DepotApi
from pkg.ids import dns_label
from pkg.observability.logging import fields
from pkg.projects import queries as projects
from pkg.projects.model import Project

MAKE_TIMEOUT_S = 60.0
CLAIM_MS = 90_000  # longer than it may take to make one: a claim that old is that of a worker that has crashed
WAIT_TIMEOUT_S = 120.0  # longer than a claim
POLL_S = 5.0  # a commit wakes it at once; this is for a lost notification
AGAIN_AFTER_S = 1.0
MAX_SLUG_CHARS = 20

log = logging.getLogger(__name__)


class DepotProjects:
    """The projects at Depot, by the ids of projects here."""

    def __init__(self, db: Database, clock: Clock = now_ms) -> None:
        self._db = db
        self._clock = clock

    async def ensure(self, api: DepotApi, project_id: str) -> str:
        """The id of the project at Depot, which is made if there is none. Safe to call at once, in several workers.

        Raises:
            BuildFailed, BuilderUnavailable: see `DepotApi`; BuilderUnavailable also after WAIT_TIMEOUT_S in which
                another worker did not make it.
        """
        try:
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                while True:
                    position = self._db.commits.position
                    project = await self._db.read(_project, project_id)
                    if project.depot_project_id is not None:
                        return project.depot_project_id
                    now = self._clock()
                    if await self._db.write(projects.claim_depot_project, project_id, now, lasts_ms=CLAIM_MS):
                        return await self._make(api, project, now)
                    await self._db.commits.wait(position, POLL_S)
        except TimeoutError:
            why = f"the project of {project_id} at Depot was not made in time: Depot, or another worker, is slow"
            raise BuilderUnavailable(FailureKind.BUILDER_LOST, why) from None

    async def forget(self, project_id: str, depot_project_id: str) -> None:
        """Depot does not know this id any more: the next `ensure` finds or makes another project. Idempotent."""
        await self._db.write(projects.forget_depot_project, project_id, depot_project_id)

    async def _make(self, api: DepotApi, project: Project, claimed_at: int) -> str:
        try:
            async with asyncio.timeout(MAKE_TIMEOUT_S):
                try:
                    made = await self._find(api, project) or await api.create_project(name_of(project))
                except BuilderUnavailable:
                    await asyncio.sleep(AGAIN_AFTER_S)
                    # the answer may be what was lost, so it is looked for once more
                    made = await self._find(api, project) or await api.create_project(name_of(project))
                return await self._db.write(projects.store_depot_project, project.id, made)
        finally:
            await self._db.write(projects.release_depot_claim, project.id, claimed_at)

    async def _find(self, api: DepotApi, project: Project) -> str:
        """The one that was made and not stored, or that was forgotten; the oldest, should there be several; or ""."""
        named = [found for found in await api.projects() if found.name == name_of(project)]
        named.sort(key=lambda found: (found.created_at, found.depot_project_id))
        ids = [found.depot_project_id for found in named]
        if len(ids) > 1:
            log.warning(
                "several projects at Depot are named %s; the oldest is used, delete the others there",
                name_of(project),
                extra=fields(project_id=project.id, depot_project_id=ids[0], unused=ids[1:]),
            )
        return ids[0] if ids else ""


def name_of(project: Project) -> str:
    """What a project is named at Depot. The id in it is that of one project in one installation."""
    return f"sealift-{project.slug[:MAX_SLUG_CHARS]}-{dns_label(project.id)}"


def _project(connection: Connection, project_id: str) -> Project:
    found = projects.get(connection, project_id)
    assert found is not None  # no build without its project
    return found
