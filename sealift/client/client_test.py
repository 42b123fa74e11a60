"""Calls over a real channel: retries, keys, pages."""

import grpc
import pytest

from sealift.client.client import Client
from sealift.client.errors import ServerError, UnreachableError
from sealift.client.retry import Retry
from sealift.client.testing import FakeServer
from sealift.ctrl.v1 import deployment_pb2

FAST = Retry(first_s=0.01, tries=3)
AWAY = grpc.StatusCode.UNAVAILABLE


async def test_retries_while_unavailable(server: FakeServer) -> None:
    """Promise: a call is retried while the server is unavailable, a limited number of times."""
    server.faults["GetServerInfo"] = [AWAY, AWAY]
    async with Client(server.endpoint, first=FAST, retry=FAST) as client:
        assert (await client.server_info()).version == "9.9.9"
        server.faults["GetServerInfo"] = [AWAY] * 3
        with pytest.raises(UnreachableError):
            await client.server_info()
    assert server.calls["GetServerInfo"] == 6


async def test_a_server_that_answered_is_worth_waiting_for(server: FakeServer) -> None:
    """Promise: a wrong URL fails soon; a server that restarts during a command is waited for."""
    async with Client(server.endpoint, first=FAST, retry=Retry(first_s=0.01, factor=1, tries=9)) as client:
        server.faults["GetServerInfo"] = [AWAY] * 3
        with pytest.raises(UnreachableError):
            await client.server_info()
        await client.server_info()
        server.faults["GetServerInfo"] = [AWAY] * 8
        await client.server_info()


async def test_other_errors_are_not_repeated(server: FakeServer) -> None:
    """Promise: an error response is not retried."""
    server.faults["GetServerInfo"] = [grpc.StatusCode.INTERNAL]
    async with Client(server.endpoint, first=FAST, retry=FAST) as client:
        with pytest.raises(ServerError):
            await client.server_info()
    assert server.calls["GetServerInfo"] == 1


async def test_create_is_repeated_with_one_idempotency_key(server: FakeServer) -> None:
    """Promise: a repeated CreateDeployment can't make two deployments."""
    server.faults["CreateDeployment"] = [AWAY]
    request = deployment_pb2.CreateDeploymentRequest(project_id="proj_hello", docker_image="x")
    async with Client(server.endpoint, first=FAST, retry=FAST) as client:
        first = await client.create_deployment(request)
        assert request.idempotency_key
        again = await client.create_deployment(request)
    assert first.deployment.deployment_id == again.deployment.deployment_id
    assert len(server.created) == 1


async def test_what_must_not_happen_twice_is_not_repeated(server: FakeServer) -> None:
    """Promise: creating a project or a key is never retried."""
    server.faults["CreateProject"] = [AWAY]
    server.faults["CreateKey"] = [AWAY]
    async with Client(server.endpoint, first=FAST, retry=FAST) as client:
        with pytest.raises(UnreachableError):
            await client.create_project("x")
        with pytest.raises(UnreachableError):
            await client.create_key("x", 1)  # type: ignore[arg-type]
    assert server.calls["CreateProject"] == server.calls["CreateKey"] == 1


async def test_pages(server: FakeServer) -> None:
    """Promise: lists are read completely, over all pages."""
    async with Client(server.endpoint) as client:
        for slug in ("b", "a"):
            await client.create_project(slug)
        assert [project.slug async for project in client.projects()] == ["a", "b", "hello"]


async def test_key_travels_as_bearer(server: FakeServer) -> None:
    """Promise: every call carries the key, and nothing that was not asked for."""
    async with Client(server.endpoint) as client:
        await client.server_info()
    assert server.metadata[0]["authorization"] == "Bearer slk_test"
    assert "traceparent" not in server.metadata[0]
    assert server.metadata[0]["user-agent"].startswith("sealift-python/")


def test_names_of_the_package() -> None:
    """Promise: what the package exports is what it says, whichever modules were imported before."""
    import importlib
    import types

    import sealift.client as package

    for name, home in package._HOMES.items():
        importlib.import_module(f"sealift.client.{home}")
        assert not isinstance(getattr(package, name), types.ModuleType), name
    with pytest.raises(AttributeError):
        package.nothing  # noqa: B018
