"""Deletes from the registry the images that the api has given up (`give_up_in_registry`).

A pass begins with what the registry has: the tags of a project's repository, and what their builds' rows say. So
nothing is queued, and what failed is found again by a later pass.
"""

import logging

from pkg.clock import Clock
from pkg.db import Database
from pkg.images import build_image
from pkg.observability.logging import fields
from pkg.registry import Credentials, RegistryConfig, RegistryError, RegistryProblem
from pkg.registry.client import RegistryClient, repository_of
from pkg.registry.errors import Purpose
from pkg.retention import queries
from pkg.retention.rules import deletable_digests

REPOSITORIES_A_PASS = 50

log = logging.getLogger(__name__)


class RegistryCleanup:
    """Cleans up the repositories of all projects, some of them in each pass, in turn.

    Several workers may do so at the same time. A registry that refuses is told of once for each worker, and asked
    again at every pass.

    Args:
        db: the control database.
        clock: in epoch ms.
        registry: that builders push to.
    """

    def __init__(self, db: Database, clock: Clock, registry: RegistryConfig) -> None:
        self._db = db
        self._clock = clock
        self._registry = registry
        self._after = ""
        self._told: RegistryProblem | None = None

    async def clean(self) -> int:
        """One pass over at most 50 repositories; how many digests were deleted. Idempotent.

        Raises RegistryError for what may pass, such as a registry that is away.
        """
        registry = self._registry
        projects = await self._next_projects()
        deleted = 0
        credentials = Credentials(registry.username, registry.password)
        purpose = Purpose("[registry]", "delete and pull")
        async with RegistryClient(registry.host, credentials, purpose=purpose, ca_file=registry.ca_file) as client:
            for project_id in projects:
                self._after = project_id
                try:
                    deleted += await self._clean_project(client, project_id)
                except RegistryError as error:
                    if error.problem.is_temporary:
                        raise
                    self._tell(error)
                    return deleted
        return deleted

    async def _next_projects(self) -> list[str]:
        found = await self._db.read(queries.projects_after, self._after, REPOSITORIES_A_PASS)
        if not found and self._after:
            self._after = ""
            found = await self._db.read(queries.projects_after, "", REPOSITORIES_A_PASS)
        return found

    async def _clean_project(self, client: RegistryClient, project_id: str) -> int:
        repository = repository_of(build_image(project_id, "", self._registry.url))
        names = await client.tags(repository)
        rows = await self._rows(project_id, names)
        now = self._clock()
        if rows.is_building or not any(not one.image_ref and one.is_old(now) for one in rows.builds.values()):
            return 0
        tags = {name: digest for name in names if (digest := await client.head(repository, name))}
        deleted = 0
        for digest in deletable_digests(tags, rows.builds, rows.referenced, now=now):
            # the digest of a build that has begun since may be the same
            current = await self._rows(project_id, names)
            if current.is_building or digest in current.referenced:
                break
            await client.delete(repository, digest)
            self._told = None
            deleted += 1
            log.info("image deleted from the registry", extra=fields(project_id=project_id, digest=digest))
        return deleted

    async def _rows(self, project_id: str, tags: tuple[str, ...]) -> queries.Repository:
        return await self._db.read(queries.repository, project_id, self._registry.url, tags)

    def _tell(self, error: RegistryError) -> None:
        if self._told is not error.problem:
            extra = fields(error_code=error.code)
            log.warning("images that nothing needs stay in the registry: %s", error.message, extra=extra)
        self._told = error.problem
