"""The servicer of ProjectService."""

# ruff: noqa: N802 - methods are named as the protos name them

import logging
from collections.abc import Sequence

from sqlalchemy import Connection

from pkg import intents
from pkg.config.sections import Ingress
from pkg.deletions.gates import check_not_deleting
from pkg.environments import queries as environments
from pkg.environments.model import EnvironmentKind
from pkg.errors import AlreadyExists, InvalidArgument, NotFound
from pkg.ids import new_id
from pkg.observability.logging import fields
from pkg.projects import queries
from pkg.projects.model import Project
from pkg.projects.slugs import check_slug
from pkg.regions.health import InstanceState
from pkg.routes import queries as routes
from pkg.routes.queries import LiveRoute
from sealift.ctrl.v1 import project_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.requests import lookup, paging
from svc.api.requests.checks import check_id, check_name, check_no_nul, shown
from svc.api.requests.mutation import Change, mutate
from svc.api.rpc import Call
from svc.api.services.deletions.recording import delete

log = logging.getLogger(__name__)

# What every project has from its creation on.
FIRST_ENVIRONMENTS = (("production", EnvironmentKind.PRODUCTION), ("preview", EnvironmentKind.PREVIEW))


class ProjectServicer:
    """Projects of the caller's workspace."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def CreateProject(self, request: pb.CreateProjectRequest, call: Call) -> pb.CreateProjectResponse:
        """AlreadyExists `project.slug_taken` when the workspace has the slug."""
        slug, name = _slug_and_name(request)

        def create(connection: Connection) -> Change[Project]:
            made = self._create(connection, call.workspace_id, slug, name)
            return Change(made, {"project_id": made.id})

        made = await mutate(self._deps, call, create)
        log.info("project created", extra=fields(project_id=made.id, slug=made.slug))
        return pb.CreateProjectResponse(project=_render(made, None, self._deps.config.ingress))

    def _create(self, connection: Connection, workspace_id: str, slug: str, name: str) -> Project:
        found = queries.by_slug(connection, workspace_id, slug)
        if found is not None:
            raise AlreadyExists(
                "project.slug_taken",
                f"The workspace already has a project {slug!r} ({found.id}): choose another slug, or use that one.",
                field="slug",
                metadata={"project_id": found.id},
            )
        ingress = self._deps.config.ingress
        if f"{slug}.{ingress.apex_domain}" == ingress.api_hostname:
            raise InvalidArgument(
                "slug",
                f"{slug!r} would give the app the address {ingress.api_hostname}, which is the api's: choose another",
                code="project.slug_reserved",
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

        def load(connection: Connection) -> pb.Project:
            match request.WhichOneof("ref"):
                case "project_id":
                    found = lookup.project(connection, call.workspace_id, request.project_id)
                case "slug":
                    found = _by_slug(connection, call.workspace_id, request.slug)
                case _:
                    raise InvalidArgument("ref", "is required: give project_id or slug")
            return self._rendered(connection, [found])[0]

        if request.WhichOneof("ref") == "project_id":
            check_id("project_id", "proj", request.project_id)
        check_no_nul("slug", request.slug)
        return pb.GetProjectResponse(project=await self._deps.db.read(load))

    async def ListProjects(self, request: pb.ListProjectsRequest, call: Call) -> pb.ListProjectsResponse:
        """By slug."""
        size = paging.page_size(request.page_size)

        def load(connection: Connection) -> tuple[list[pb.Project], str]:
            after = paging.after(request.page_token)
            found = queries.page(connection, call.workspace_id, after_slug=after, limit=size + 1)
            page, token = paging.cut(found, size, lambda p: p.slug)
            return self._rendered(connection, page), token

        page, token = await self._deps.db.read(load)
        return pb.ListProjectsResponse(projects=page, next_page_token=token)

    async def UpdateProject(self, request: pb.UpdateProjectRequest, call: Call) -> pb.UpdateProjectResponse:
        """Only present fields change."""
        check_id("project_id", "proj", request.project_id)
        name = check_name("name", request.name) if request.HasField("name") else None

        def update(connection: Connection) -> Change[pb.Project]:
            updated = self._update(connection, call.workspace_id, request.project_id, name)
            return Change(updated, {} if name is None else {"project_id": request.project_id})

        updated = await mutate(self._deps, call, update)
        return pb.UpdateProjectResponse(project=updated)

    async def DeleteProject(self, request: pb.DeleteProjectRequest, call: Call) -> pb.DeleteProjectResponse:
        """Answers after the commit: from then on nothing new can be begun there, and the worker deletes it."""
        check_id("project_id", "proj", request.project_id)

        def record(connection: Connection) -> tuple[str, bool]:
            return intents.record_project_deletion(
                connection,
                project=lookup.project(connection, call.workspace_id, request.project_id),
                traceparent=call.traceparent,
                now=self._deps.clock(),
            )

        deletion, already = await delete(self._deps, call, record, skip_regions=request.skip_regions)
        return pb.DeleteProjectResponse(deletion=deletion, already_recorded=already)

    def _rendered(self, connection: Connection, found: Sequence[Project]) -> list[pb.Project]:
        ids = [project.id for project in found]
        live, stopped = routes.live_routes(connection, ids), routes.stopped_projects(connection, ids)
        ingress = self._deps.config.ingress
        return [_render(project, live.get(project.id), ingress, is_stopped=project.id in stopped) for project in found]

    def _update(self, connection: Connection, workspace_id: str, project_id: str, name: str | None) -> pb.Project:
        found = lookup.project(connection, workspace_id, project_id)
        if name is not None:
            check_not_deleting(connection, found.deletion_id)
            queries.rename(connection, project_id, name, self._deps.clock())
        return self._rendered(connection, [lookup.project(connection, workspace_id, project_id)])[0]


def _by_slug(connection: Connection, workspace_id: str, slug: str) -> Project:
    found = queries.by_slug(connection, workspace_id, slug)
    if found is None:
        raise NotFound(
            "project.not_found",
            f"There is no project {shown(slug)}: `sealift projects` lists yours.",
            field="slug",
        )
    return found


def _slug_and_name(request: pb.CreateProjectRequest) -> tuple[str, str]:
    """Slug and name; an absent name is the slug."""
    slug = check_slug("slug", request.slug)
    return slug, check_name("name", request.name) if request.HasField("name") else slug


def _render(project: Project, live: LiveRoute | None, ingress: Ingress, *, is_stopped: bool = False) -> pb.Project:
    """The project, with what is live of it."""
    return pb.Project(
        project_id=project.id,
        workspace_id=project.workspace_id,
        slug=project.slug,
        name=project.name,
        created_at=project.created_at,
        updated_at=project.updated_at,
        live_url=ingress.url(live.hostname) if live else "",
        live_deployment_id=live.deployment_id if live else "",
        live_instances=len(live.states) if live else 0,
        healthy_instances=live.states.count(InstanceState.HEALTHY) if live else 0,
        is_stopped=is_stopped,
        deletion_id=project.deletion_id or "",
    )
