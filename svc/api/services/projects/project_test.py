"""Projects, environments and routes through a real channel."""

from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from grpc import aio
from sqlalchemy import Connection

from pkg.config.sections import Ingress
from pkg.environments import queries as environments
from pkg.routes import moves
from pkg.secrets import AssociatedData
from sealift.ctrl.v1 import common_pb2, environment_pb2, routing_pb2
from sealift.ctrl.v1 import project_pb2 as pb
from svc.api.conftest import Deploy
from svc.api.deployment_testing import make_ready
from svc.api.testing import RecordingRestate, RunningApi, config_in, refused, running_api


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, str, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    return refused(caught.value)


async def production(api: RunningApi, project: pb.Project) -> environment_pb2.Environment:
    listed = await api.admin.environment.ListEnvironments(
        environment_pb2.ListEnvironmentsRequest(project_id=project.project_id)
    )
    found: environment_pb2.Environment = listed.environments[0]
    return found


async def test_a_project_begins_with_two_environments(api: RunningApi, project: pb.Project) -> None:
    """Promise: production and preview are there from the start, with default settings and no port set."""
    listed = await api.admin.environment.ListEnvironments(
        environment_pb2.ListEnvironmentsRequest(project_id=project.project_id)
    )
    assert [(e.slug, e.kind) for e in listed.environments] == [
        ("production", environment_pb2.ENVIRONMENT_KIND_PRODUCTION),
        ("preview", environment_pb2.ENVIRONMENT_KIND_PREVIEW),
    ]
    settings = listed.environments[0].settings
    assert settings.disk_mib == 10_240
    assert (settings.cpu_millicores, settings.memory_mib, settings.replicas, settings.HasField("port")) == (
        1000,
        512,
        1,
        False,
    )
    assert settings.health_check.start_timeout_s == 120


async def test_projects_are_found_listed_and_renamed(api: RunningApi, project: pb.Project) -> None:
    """Promise: by id and by slug the same; pages are complete; a slug is taken once."""
    assert (await api.admin.project.GetProject(pb.GetProjectRequest(slug="hello"))).project == project
    assert (await api.admin.project.GetProject(pb.GetProjectRequest(project_id=project.project_id))).project == project
    assert (await refusal(api.admin.project.CreateProject(pb.CreateProjectRequest(slug="hello"))))[1] == (
        "project.slug_taken"
    )
    for slug in ("a", "b", "z"):
        await api.admin.project.CreateProject(pb.CreateProjectRequest(slug=slug, name="Ä name"))
    first = await api.admin.project.ListProjects(pb.ListProjectsRequest(page_size=3))
    rest = await api.admin.project.ListProjects(pb.ListProjectsRequest(page_token=first.next_page_token))
    assert [p.slug for p in [*first.projects, *rest.projects]] == ["a", "b", "hello", "z"]
    renamed = await api.admin.project.UpdateProject(pb.UpdateProjectRequest(project_id=project.project_id, name="Hi"))
    assert renamed.project.name == "Hi"
    untouched = await api.admin.project.UpdateProject(pb.UpdateProjectRequest(project_id=project.project_id))
    assert untouched.project.name == "Hi"


@pytest.mark.parametrize("slug", ["", "-a", "a-", "a--b", "A", "ä", "a" * 41, "a.b", "a_b"])
async def test_slugs_fit_into_hostnames(api: RunningApi, slug: str) -> None:
    """Promise: a slug that can't be part of a hostname is refused."""
    status, _, field, _ = await refusal(api.admin.project.CreateProject(pb.CreateProjectRequest(slug=slug)))
    assert (status, field) == (grpc.StatusCode.INVALID_ARGUMENT, "slug")


async def test_absent_and_empty_names(api: RunningApi) -> None:
    """Promise: an absent name is the slug, an empty one is refused."""
    made = await api.admin.project.CreateProject(pb.CreateProjectRequest(slug="x"))
    assert made.project.name == "x"
    assert (await refusal(api.admin.project.CreateProject(pb.CreateProjectRequest(slug="y", name=""))))[2] == "name"
    assert (await refusal(api.admin.project.GetProject(pb.GetProjectRequest())))[2] == "ref"


async def test_variables_are_sealed_and_never_shown(api: RunningApi, project: pb.Project) -> None:
    """Promise: values are set, replaced and removed by name; at rest they are sealed; no answer holds one."""
    environment = await production(api, project)

    async def update(**fields: Any) -> environment_pb2.Environment:
        request = environment_pb2.UpdateEnvironmentRequest(environment_id=environment.environment_id, **fields)
        answer = await api.admin.environment.UpdateEnvironment(request)
        assert "hunter2" not in str(answer)
        found: environment_pb2.Environment = answer.environment
        return found

    assert list((await update(set_variables={"B": "hunter2", "A": ""})).variable_names) == ["A", "B"]
    sealed = {one.name: one.sealed for one in await api.db.read(environments.variables, environment.environment_id)}
    assert b"hunter2" not in sealed["B"]
    row = await api.db.read(environments.get, environment.environment_id)
    assert row is not None
    place = AssociatedData.environment_variable(environment.environment_id, "B")
    assert api.vault.open(row.data_key, sealed["B"], place) == b"hunter2"
    assert list((await update(unset_variables=["A", "NEVER_SET"])).variable_names) == ["B"]
    shown = await update(set_plain_variables={"LEVEL": "debug"})
    assert (list(shown.variable_names), dict(shown.plain_variables)) == (["B", "LEVEL"], {"LEVEL": "debug"})
    assert not (await update(set_variables={"LEVEL": "hunter2"})).plain_variables
    assert dict((await update(set_plain_variables={"LEVEL": "x"}, unset_variables=["B"])).plain_variables) == {
        "LEVEL": "x"
    }
    await update(set_variables={"B": "hunter2"}, unset_variables=["LEVEL"])
    before = await update(settings=common_pb2.RuntimeSettings(port=3000))
    after = await update(settings=common_pb2.RuntimeSettings(memory_mib=64))
    assert (before.settings.port, after.settings.port, after.settings.memory_mib) == (3000, 3000, 64)


async def test_variables_say_what_is_deployed(api: RunningApi, project: pb.Project, deploy: Deploy) -> None:
    """Promise: variables have the time of their value and whether the live deployment has it; not in lists."""
    environment = await production(api, project)

    async def states(**fields: Any) -> dict[str, str]:
        request = environment_pb2.UpdateEnvironmentRequest(environment_id=environment.environment_id, **fields)
        shown = (await api.admin.environment.UpdateEnvironment(request)).environment
        assert all(bool(one.updated_at) == (one.name in shown.variable_names) for one in shown.variables)
        names = environment_pb2.VariableState.Name
        return {one.name: names(one.state).removeprefix("VARIABLE_STATE_") for one in shown.variables}

    set_first = await states(set_variables={"SAME": "1", "OTHER": "1", "GONE": "1"}, set_plain_variables={"PLAIN": "1"})
    assert set(set_first.values()) == {"NOT_DEPLOYED"}
    made = await deploy()
    assert set((await states()).values()) == {"NOT_DEPLOYED"}
    await api.db.write(make_ready, made.deployment_id, hostname="hello.sealift.localhost")
    assert set((await states()).values()) == {"LIVE"}
    found = await states(set_variables={"SAME": "1", "OTHER": "2", "NEW": "1"}, unset_variables=["GONE", "PLAIN"])
    assert found == {"SAME": "LIVE", "OTHER": "CHANGED", "NEW": "NOT_DEPLOYED", "GONE": "REMOVED"}
    listed = environment_pb2.ListEnvironmentsRequest(project_id=project.project_id)
    assert not (await api.admin.environment.ListEnvironments(listed)).environments[0].variables


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"set_variables": {"1A": "x"}}, "set_variables"),
        ({"set_variables": {"A B": "x"}}, "set_variables"),
        ({"set_variables": {"A" * 129: "x"}}, "set_variables"),
        ({"set_variables": {"API_KEY=hunter2": ""}}, "set_variables"),
        ({"unset_variables": ["API_KEY=hunter2"]}, "unset_variables"),
        ({"set_variables": {"PORT": "80"}}, "set_variables"),
        ({"set_variables": {"SEALIFT_REGION": "x"}}, "set_variables"),
        ({"set_variables": {"A": "hunter2" + "x" * 32768}}, "set_variables[A]"),
        ({"set_variables": {"A": "hunter2\0"}}, "set_variables[A]"),
        ({"set_variables": {f"A{n}": "x" for n in range(257)}}, "set_variables"),
        ({"set_variables": {f"A{n}": "x" * 32768 for n in range(33)}}, "set_variables"),
        ({"set_variables": {"A": "x"}, "unset_variables": ["A"]}, "unset_variables"),
        ({"set_variables": {"A": "x"}, "set_plain_variables": {"A": "x"}}, "set_plain_variables"),
        ({"set_plain_variables": {"A": "x"}, "unset_variables": ["A"]}, "unset_variables"),
        ({"set_plain_variables": {"PORT": "80"}}, "set_plain_variables"),
        ({"settings": common_pb2.RuntimeSettings(replicas=21)}, "settings.replicas"),
    ],
)
async def test_variables_are_bounded(api: RunningApi, project: pb.Project, fields: dict[str, Any], field: str) -> None:
    """Promise: what a process could not take is refused, without repeating the value."""
    environment = await production(api, project)
    request = environment_pb2.UpdateEnvironmentRequest(environment_id=environment.environment_id, **fields)
    status, _, named, message = await refusal(api.admin.environment.UpdateEnvironment(request))
    assert (status, named) == (grpc.StatusCode.INVALID_ARGUMENT, field)
    assert "hunter2" not in message


async def test_environments_are_created_once(api: RunningApi, project: pb.Project) -> None:
    """Promise: another environment is a preview; its slug is taken once."""
    request = environment_pb2.CreateEnvironmentRequest(project_id=project.project_id, slug="staging")
    made = (await api.admin.environment.CreateEnvironment(request)).environment
    assert made.kind == environment_pb2.ENVIRONMENT_KIND_PREVIEW
    assert (await refusal(api.admin.environment.CreateEnvironment(request)))[1] == "environment.slug_taken"
    by_id = environment_pb2.GetEnvironmentRequest(environment_id=made.environment_id)
    assert (await api.admin.environment.GetEnvironment(by_id)).environment == made


async def test_routes_are_shown(api: RunningApi, project: pb.Project, deploy: Deploy) -> None:
    """Promise: what a hostname points at, with its URL; unknown ones are NotFound."""
    made = await deploy()
    await api.db.write(make_ready, made.deployment_id, hostname="hello.sealift.localhost")
    listed = await api.admin.routing.ListRoutes(routing_pb2.ListRoutesRequest(project_id=project.project_id))
    assert [(r.hostname, r.deployment_id, r.url) for r in listed.routes] == [
        ("hello.sealift.localhost", made.deployment_id, "http://hello.sealift.localhost:7480")
    ]
    found = await api.admin.routing.GetRoute(routing_pb2.GetRouteRequest(hostname="HELLO.sealift.localhost."))
    assert found.route == listed.routes[0]
    other = routing_pb2.GetRouteRequest(hostname="other.sealift.localhost")
    assert (await refusal(api.admin.routing.GetRoute(other)))[1] == "route.not_found"
    environment = await production(api, project)
    assert (environment.live_deployment_id, environment.is_stopped) == (made.deployment_id, False)

    def stop(connection: Connection) -> None:
        moves.release(connection, made.deployment_id, seq=99, now=1)

    await api.db.write(stop)
    stopped = (await api.admin.routing.GetRoute(routing_pb2.GetRouteRequest(hostname="hello.sealift.localhost"))).route
    assert (stopped.deployment_id, stopped.answer, stopped.fence) == ("", "stopped", 99)
    listed = await api.admin.routing.ListRoutes(routing_pb2.ListRoutesRequest(project_id=project.project_id))
    assert list(listed.routes) == [stopped]
    environment = await production(api, project)
    assert (environment.live_deployment_id, environment.is_stopped) == ("", True)
    (shown,) = (await api.admin.project.ListProjects(pb.ListProjectsRequest())).projects
    assert (shown.live_url, shown.is_stopped) == ("", True)


async def test_an_app_cannot_take_the_apis_hostname(restate: RecordingRestate, tmp_path: Path) -> None:
    """Promise: a project whose address would be the api's is refused before anything is deployed to it."""
    ingress = Ingress(apex_domain="example.com", api_hostname="deploy.example.com")
    async with running_api(msgspec.structs.replace(config_in(tmp_path, restate.url), ingress=ingress)) as api:
        status, code, field, message = await refusal(
            api.admin.project.CreateProject(pb.CreateProjectRequest(slug="deploy"))
        )
        assert (status, code, field) == (grpc.StatusCode.INVALID_ARGUMENT, "project.slug_reserved", "slug")
        assert "deploy.example.com" in message
        await api.admin.project.CreateProject(pb.CreateProjectRequest(slug="deploys"))
