"""Shared by commands that call the server: event loop, signals, client, and lookups with helpful errors."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from difflib import get_close_matches

import click

from sealift.cli.errors import fail
from sealift.cli.exit_codes import ExitCode
from sealift.cli.project.project_file import is_slug, project_ref
from sealift.client.client import Client
from sealift.client.credentials import Endpoint, find_endpoint
from sealift.client.errors import ClientError, InputError, NotFoundError
from sealift.client.tracing import Tracing
from sealift.ctrl.v1 import build_pb2, deployment_pb2, environment_pb2, project_pb2


def run(work: Callable[[], Awaitable[int]]) -> int:
    """Run a command's coroutine and return the exit code; client errors are reported with `errors.fail`."""
    try:
        return drive(work)
    except ClientError as error:
        return fail(error)


def drive(work: Callable[[], Awaitable[int]]) -> int:
    """Run a command's coroutine and return the exit code; client errors are raised.

    SIGINT, SIGTERM and SIGHUP cancel it, so that all it owns is closed; a second signal ends the process at once.
    """
    with asyncio.Runner() as runner:
        return runner.run(_interruptible(work))


async def _interruptible(work: Callable[[], Awaitable[int]]) -> int:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work())
    interrupted = False

    def interrupt(number: int) -> None:
        nonlocal interrupted
        interrupted = True
        task.cancel()
        for one in numbers:
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, interrupt, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not interrupted:
            raise
        return ExitCode.INTERRUPTED


def open_client(url: str | None, tracing: Tracing | None = None) -> Client:
    """A client for the endpoint from option, environment and files."""
    endpoint = find_endpoint(url)
    warn_if_unencrypted(endpoint)
    return Client(endpoint, tracing=tracing) if tracing else Client(endpoint)


def warn_if_unencrypted(endpoint: Endpoint) -> None:
    """A warning on stderr if the key travels in the clear."""
    if not endpoint.address.is_tls and not endpoint.address.is_local:
        click.echo(f"warning: the key is sent unencrypted to {endpoint.url}; use https://", err=True)


def configure_tracing() -> Tracing:
    """The tracer configured by the environment; if its packages are missing, none and a warning."""
    import logging

    from sealift.client import tracing

    # The exporter's errors about an unreachable receiver would mix with the output.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    try:
        return tracing.configure()
    except ImportError:
        click.echo("warning: tracing needs the packages of sealift[tracing]; continuing without tracing", err=True)
        return tracing.NO_TRACING


async def find_project(client: Client, ref: str) -> project_pb2.Project:
    """The project `ref`. If it does not exist, the error suggests a similar one, or how to create it."""
    try:
        return await client.project(ref)
    except NotFoundError as error:
        near = get_close_matches(ref, await _project_slugs(client), 1)
        hint = f"create it with: sealift projects create {ref}" if is_slug(ref) else "see: sealift projects"
        if near:
            hint = f"did you mean {near[0]!r}? Otherwise {hint}"
        raise NotFoundError(
            f"there is no project {ref!r} on {client.endpoint.url}; {hint}",
            code=error.code,
            request_id=error.request_id,
        ) from None


async def _project_slugs(client: Client) -> list[str]:
    """The slugs of the workspace's projects; none if the call fails."""
    try:
        return [project.slug async for project in client.projects()]
    except ClientError:
        return []


async def find_environment(client: Client, project: project_pb2.Project, slug: str) -> environment_pb2.Environment:
    """The environment `slug` of a project. If it does not exist, the error lists those that do."""
    try:
        return await client.environment(project.project_id, slug)
    except NotFoundError as error:
        known = ", ".join(place.slug for place in await client.environments(project.project_id))
        raise NotFoundError(
            f"project {project.slug!r} has no environment {slug!r}, only {known}; create it with: "
            f"sealift environments create {slug} --project {project.slug}",
            code=error.code,
            request_id=error.request_id,
        ) from None


async def find_deployment(
    client: Client, deployment_id: str | None, project: str | None, environment: str | None
) -> deployment_pb2.Deployment:
    """The given deployment, or the latest one of the project (and environment)."""
    if deployment_id and deployment_id.startswith("bld_"):
        raise InputError(f"{deployment_id} is a build: use sealift build show {deployment_id}", field="deployment")
    if deployment_id:
        return await client.deployment(deployment_id)
    found = await find_project(client, project_ref(project))
    latest = await client.deployments(found.project_id, environment_slug=environment, limit=1)
    if not latest:
        where = f" in {environment!r}" if environment else ""
        raise NotFoundError(f"project {found.slug!r} has no deployments{where} yet; create one with: sealift deploy")
    return latest[0]


async def find_build(client: Client, ident: str | None, project: str | None) -> build_pb2.Build:
    """The given build, that of the given deployment, or the latest one of the project."""
    if ident and ident.startswith("dep_"):
        deployment = await client.deployment(ident)
        if not deployment.build_id:
            raise InputError(f"deployment {ident} was made from an image: it has no build", field="build")
        ident = deployment.build_id
    if ident:
        return await client.build(ident)
    found = await find_project(client, project_ref(project))
    latest = await client.builds(found.project_id, limit=1)
    if not latest:
        raise NotFoundError(f"project {found.slug!r} has no builds yet; create one with: sealift build")
    return latest[0]
