# ruff: noqa: N802, D102 - the methods are those of the protocol, described there
"""Projects, environments and variables of the fake server, in memory."""

import time
from typing import Any

from sealift.client.testing_servicer import FakeServicer, refuse
from sealift.ctrl.v1 import environment_pb2, environment_pb2_grpc, project_pb2, project_pb2_grpc


class FakeProjects(
    FakeServicer,
    project_pb2_grpc.ProjectServiceServicer,
    environment_pb2_grpc.EnvironmentServiceServicer,
):
    """ProjectService and EnvironmentService. There is the project "hello" with its two environments."""

    def __init__(self) -> None:
        super().__init__()
        self.projects = {"hello": project_pb2.Project(project_id="proj_hello", slug="hello", name="hello")}
        self.environments = {
            slug: environment_pb2.Environment(environment_id=f"env_{slug}", project_id="proj_hello", slug=slug)
            for slug in ("production", "preview")
        }
        self.variables: dict[str, str] = {}
        self.variable_states: dict[str, environment_pb2.VariableState.ValueType] = {}
        self.plain: set[str] = set()

    async def CreateProject(self, request: Any, context: Any) -> Any:
        await self._enter("CreateProject", context)
        if request.slug in self.projects:
            await refuse(context, "ALREADY_EXISTS", "project.slug_taken", f"the slug {request.slug!r} is taken")
        project = project_pb2.Project(project_id=f"proj_{request.slug}", slug=request.slug, name=request.name)
        self.projects[request.slug] = project
        return project_pb2.CreateProjectResponse(project=project)

    async def GetProject(self, request: Any, context: Any) -> Any:
        await self._enter("GetProject", context)
        for project in self.projects.values():
            if request.slug == project.slug or request.project_id == project.project_id:
                return project_pb2.GetProjectResponse(project=project)
        await refuse(context, "NOT_FOUND", "project.not_found", "there is no such project")
        raise AssertionError

    async def ListProjects(self, request: Any, context: Any) -> Any:
        await self._enter("ListProjects", context)
        slugs = sorted(self.projects)
        at = int(request.page_token or 0)  # one per page, to test paging
        more = str(at + 1) if at + 1 < len(slugs) else ""
        return project_pb2.ListProjectsResponse(
            projects=[self.projects[slug] for slug in slugs[at : at + 1]], next_page_token=more
        )

    async def UpdateProject(self, request: Any, context: Any) -> Any:
        await refuse(context, "PERMISSION_DENIED", "auth.denied", "this key may not change projects")

    async def CreateEnvironment(self, request: Any, context: Any) -> Any:
        await self._enter("CreateEnvironment", context)
        made = environment_pb2.Environment(
            environment_id=f"env_{request.slug}",
            project_id=request.project_id,
            slug=request.slug,
            kind=environment_pb2.ENVIRONMENT_KIND_PREVIEW,
        )
        self.environments[request.slug] = made
        return environment_pb2.CreateEnvironmentResponse(environment=made)

    async def GetEnvironment(self, request: Any, context: Any) -> Any:
        await self._enter("GetEnvironment", context)
        found = self.environments.get(request.by_slug.slug)
        if found is None:
            await refuse(context, "NOT_FOUND", "environment.not_found", "there is no such environment")
        return environment_pb2.GetEnvironmentResponse(environment=found)

    async def ListEnvironments(self, request: Any, context: Any) -> Any:
        await self._enter("ListEnvironments", context)
        return environment_pb2.ListEnvironmentsResponse(environments=self.environments.values())

    async def UpdateEnvironment(self, request: Any, context: Any) -> Any:
        await self._enter("UpdateEnvironment", context)
        self.variables.update(request.set_variables)
        self.variables.update(request.set_plain_variables)
        self.plain |= set(request.set_plain_variables)
        self.plain -= {*request.set_variables, *request.unset_variables}
        for name in request.unset_variables:
            self.variables.pop(name, None)
        found = next(e for e in self.environments.values() if e.environment_id == request.environment_id)
        found.settings.MergeFrom(request.settings)
        del found.variable_names[:]
        found.variable_names.extend(sorted(self.variables))
        del found.variables[:]
        found.variables.extend(
            environment_pb2.EnvironmentVariable(
                name=name,
                updated_at=int(time.time() * 1000) - 7_200_000 if name in self.variables else 0,
                state=self.variable_states.get(name, environment_pb2.VARIABLE_STATE_NOT_DEPLOYED),
            )
            for name in sorted({*self.variables, *self.variable_states})
        )
        found.plain_variables.clear()
        found.plain_variables.update({name: self.variables[name] for name in self.plain})
        return environment_pb2.UpdateEnvironmentResponse(environment=found)
