"""The servicer of ProjectService."""

# ruff: noqa: N802 - methods are named as the protos name them

import logging
from dataclasses import dataclass

from sqlalchemy import Connection

from pkg.clock import Clock
from pkg.db import Database
from pkg.environments import queries as environments
from pkg.environments.queries import EnvironmentKind
from pkg.errors import AlreadyExists, InvalidArgument, NotFound
from pkg.ids import new_id
from pkg.observability.logging import fields
from pkg.projects import queries
from pkg.projects.queries import Project
from pkg.vault import Vault
from sealift.ctrl.v1 import project_pb2 as pb
from svc.api.middleware import Call
from svc.api.services import lookup, paging
from svc.api.services.checks import check_id, check_name, shown
from svc.api.services.project import validation
from svc.api.services.project.render import render

log = logging.getLogger(__name__)

# What every project has from its creation on.
FIRST_ENVIRONMENTS = (("production", EnvironmentKind.PRODUCTION), ("preview", EnvironmentKind.PREVIEW))


@dataclass(frozen=True)
class ProjectDeps:
    """What the servicer works with."""

    db: Database
    clock: Clock
    vault: Vault


class ProjectServicer:
    """Projects of the caller's workspace."""

    def __init__(self, deps: ProjectDeps) -> None:
        self._deps = deps

    async def CreateProject(self, request: pb.CreateProjectRequest, call: Call) -> pb.CreateProjectResponse:
        """AlreadyExists `project.slug_taken` when the workspace has the slug."""
        slug, name = validation.slug_and_name(request)
        made = await self._deps.db.write(self._create, call.workspace_id, slug, name)
        log.info("project created", extra=fields(project_id=made.id, slug=made.slug))
        return pb.CreateProjectResponse(project=render(made))

    def _create(self, connection: Connection, workspace_id: str, slug: str, name: str) -> Project:
        found = queries.by_slug(connection, workspace_id, slug)
        if found is not None:
            raise AlreadyExists(
                "project.slug_taken",
                f"The workspace has a project {slug!r} already ({found.id}): choose another slug, or use that one.",
                field="slug",
                metadata={"project_id": found.id},
            )
        now = self._deps.clock()
        made = Project(new_id("proj"), workspace_id, slug, name, now, now)
        queries.add(connection, made)
        for environment_slug, kind in FIRST_ENVIRONMENTS:
            environments.add(
                connection,
                environment_id=new_id("env"),
                workspace_id=workspace_id,
                project_id=made.id,
                slug=environment_slug,
                kind=kind,
                data_key=self._deps.vault.new_data_key(),
                now=now,
            )
        return made

    async def GetProject(self, request: pb.GetProjectRequest, call: Call) -> pb.GetProjectResponse:
        """By id or by slug."""
        match request.WhichOneof("ref"):
            case "project_id":
                check_id("project_id", "proj", request.project_id)
                found = await self._deps.db.read(lookup.project, call.workspace_id, request.project_id)
            case "slug":
                found = await self._deps.db.read(_by_slug, call.workspace_id, request.slug)
            case _:
                raise InvalidArgument("ref", "is required: give project_id or slug")
        return pb.GetProjectResponse(project=render(found))

    async def ListProjects(self, request: pb.ListProjectsRequest, call: Call) -> pb.ListProjectsResponse:
        """By slug."""
        size = paging.page_size(request.page_size)
        found = await self._deps.db.read(
            queries.page, call.workspace_id, after_slug=paging.after(request.page_token), limit=size + 1
        )
        page, token = paging.cut(found, size, lambda p: p.slug)
        return pb.ListProjectsResponse(projects=[render(p) for p in page], next_page_token=token)

    async def UpdateProject(self, request: pb.UpdateProjectRequest, call: Call) -> pb.UpdateProjectResponse:
        """Only present fields change."""
        check_id("project_id", "proj", request.project_id)
        name = check_name("name", request.name) if request.HasField("name") else None
        updated = await self._deps.db.write(self._update, call.workspace_id, request.project_id, name)
        return pb.UpdateProjectResponse(project=render(updated))

    def _update(self, connection: Connection, workspace_id: str, project_id: str, name: str | None) -> Project:
        lookup.project(connection, workspace_id, project_id)
        if name is not None:
            queries.rename(connection, project_id, name, self._deps.clock())
        return lookup.project(connection, workspace_id, project_id)


def _by_slug(connection: Connection, workspace_id: str, slug: str) -> Project:
    found = queries.by_slug(connection, workspace_id, slug)
    if found is None:
        raise NotFound(
            "project.not_found",
            f"There is no project {shown(slug)}: `sealift projects` lists yours.",
            field="slug",
        )
    return found
