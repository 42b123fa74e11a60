"""Selects the deployment for a command that names none: the only candidate, shown and confirmed before use."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import click

from sealift.cli.format.enum_names import status_name
from sealift.cli.format.text import ago, clean, confirm_or_exit, is_interactive, prose
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.session import drive, find_environment, find_project, open_client
from sealift.client.client import Client
from sealift.client.errors import InputError, NotFoundError
from sealift.ctrl.v1 import deployment_pb2, environment_pb2, project_pb2

MAX_CANDIDATES = 200  # the newest deployments of an environment; older ones must be given by id
MAX_LISTED = 5

Deployment = deployment_pb2.Deployment


@dataclass(frozen=True)
class EnvironmentDeployments:
    """An environment and its newest deployments."""

    project: project_pb2.Project
    environment: environment_pb2.Environment
    newest: Sequence[Deployment]

    def __str__(self) -> str:
        return f"{self.project.slug} · {self.environment.slug}"


def select_deployment(
    url: str | None,
    project: str | None,
    environment: str | None,
    pick: Callable[[EnvironmentDeployments], Deployment],
    what: Callable[[EnvironmentDeployments, Deployment], str],
    *,
    yes: bool,
    default: bool = False,
) -> str:
    """The id of the deployment that `pick` selects, after confirmation.

    Args:
        url: of the server; None: the default.
        project: slug or id; None: from the nearest sealift.toml.
        environment: slug; None: from the nearest sealift.toml, else production.
        pick: returns the candidate, or raises an error that lists the candidates.
        what: describes the action, e.g. "cancel dep_1 (main) of hello · production".
        yes: skip the confirmation.
        default: the answer when Enter is pressed.

    Raises:
        ClientError: the server can't be reached, there is no single candidate, or there is no terminal to confirm on.
        click.exceptions.Exit: the user declined.
    """
    found: list[tuple[EnvironmentDeployments, Deployment]] = []

    async def look(client: Client) -> None:
        owner = await find_project(client, project_ref(project))
        environment_of = await find_environment(client, owner, environment_slug(environment))
        newest = await client.deployments(owner.project_id, environment_slug=environment_of.slug, limit=MAX_CANDIDATES)
        place = EnvironmentDeployments(owner, environment_of, newest)
        found.append((place, pick(place)))

    run_with_client(url, look)
    ((place, target),) = found
    confirm(what(place, target), yes=yes, default=default)
    return target.deployment_id


def run_with_client(url: str | None, work: Callable[[Client], Awaitable[None]]) -> None:
    """Run `work` with a client in an event loop of its own, so that a prompt can follow without blocking a loop.

    Raises:
        ClientError: raised by `work`.
        click.Abort: interrupted.
    """

    async def talk() -> int:
        async with open_client(url) as client:
            await work(client)
        return 0

    if drive(talk):
        raise click.Abort


def confirm(what: str, *, yes: bool, default: bool = False) -> None:
    """Return only if --yes is given or the user confirms at the terminal.

    Raises:
        InputError: there is no terminal to ask on.
        click.exceptions.Exit: the user declined.
    """
    if yes:
        click.echo(prose(what), err=True)
        return
    if not (sys.stdin.isatty() and is_interactive()):
        raise InputError(f"would {what}; there is no terminal to confirm it on: add --yes", code="usage")
    confirm_or_exit(f"{what}?", default=default)


def confirm_by_name(what: str, name: str, *, yes: bool) -> None:
    """As `confirm`, but the user types the name: for what nobody brings back.

    Raises:
        InputError: there is no terminal to ask on, or the text is not the name.
    """
    if yes or not (sys.stdin.isatty() and is_interactive()):
        confirm(what, yes=yes)
        return
    typed = click.prompt(prose(f"This will {what}, and nothing brings it back. Type {name} to go on"), err=True)
    if typed.strip() != name:
        raise InputError(f"{clean(typed)!r} is not {name!r}: nothing was done", code="usage")


def deployment_label(one: Deployment) -> str:
    """A short label of a deployment, e.g. "dep_1 (main, 5 min old, Fix the form)"."""
    parts = (clean(one.branch), f"{ago(one.created_at)} old", clean(one.git_commit.commit_message.split("\n")[0])[:40])
    return f"{one.deployment_id} ({', '.join(part for part in parts if part)})"


def newest_promotable(place: EnvironmentDeployments) -> Deployment:
    """The newest ready deployment that is newer than the live one; if none is live, the newest ready one."""
    live = place.environment.live_deployment_id
    live_seq = next((one.seq for one in place.newest if one.deployment_id == live), 0)
    for one in place.newest:
        is_ready = one.status == deployment_pb2.DEPLOYMENT_STATUS_READY and one.image_ref
        if is_ready and one.seq > live_seq:
            return one
    if live:
        message = f"no ready deployment in {place} is newer than the live {live}: use sealift rollback, or name one"
    else:
        message = f"no deployment is ready in {place}: deploy first"
    raise NotFoundError(f"{message} (see: sealift ls)", code="deployment.not_found")


def only_unfinished(place: EnvironmentDeployments) -> Deployment:
    """The only unfinished deployment."""
    return _only(place, [one for one in place.newest if not one.ended_at], "unfinished")


def only_stoppable(place: EnvironmentDeployments) -> Deployment:
    """The only running deployment that is not live."""
    running = (deployment_pb2.RUN_STATE_RUNNING, deployment_pb2.RUN_STATE_STANDBY)
    live = place.environment.live_deployment_id
    found = [
        one
        for one in place.newest
        if one.status == deployment_pb2.DEPLOYMENT_STATUS_READY
        and one.run_state in running
        and one.deployment_id != live
    ]
    return _only(place, found, "running and not live")


def live_deployment(place: EnvironmentDeployments) -> Deployment:
    """The live deployment."""
    live = place.environment.live_deployment_id
    return _only(place, [one for one in place.newest if one.deployment_id == live], "live")


def _only(place: EnvironmentDeployments, found: Sequence[Deployment], what: str) -> Deployment:
    if not found:
        raise NotFoundError(f"no deployment is {what} in {place} (see: sealift ls)", code="deployment.not_found")
    if len(found) > 1:
        lines = "".join(f"\n  {deployment_label(one)}, {status_name(one.status)}" for one in found[:MAX_LISTED])
        more = f"\n  and {len(found) - MAX_LISTED} more, see: sealift ls" if len(found) > MAX_LISTED else ""
        raise InputError(f"{len(found)} deployments are {what} in {place}; name one:{lines}{more}", code="usage")
    return found[0]
