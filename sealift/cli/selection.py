"""Which deployment a command means when none is named: the obvious one, shown and confirmed before anything is done."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import click

from sealift.cli.enum_names import status_name
from sealift.cli.project_file import environment_slug, project_ref
from sealift.cli.session import drive, find_environment, find_project, open_client
from sealift.cli.text import ago, clean, confirm_or_exit, is_interactive, prose
from sealift.client.client import Client
from sealift.client.errors import InputError, NotFoundError
from sealift.ctrl.v1 import deployment_pb2, environment_pb2, project_pb2

LOOKED_AT = 200  # the newest deployments of an environment; older ones are named by their id
NAMED = 5

Deployment = deployment_pb2.Deployment


@dataclass(frozen=True)
class EnvironmentDeployments:
    """An environment, and its newest deployments."""

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
    """The id of the deployment that `pick` takes out of an environment, once it is confirmed.

    Args:
        url: as given; None: found as always.
        project: slug or id; None: of the nearest sealift.toml.
        environment: slug; None: of the nearest sealift.toml, else production.
        pick: takes the obvious one, or raises an error that names what there is.
        what: is about to be done, in words, e.g. "cancel dep_1 (main) of hello · production".
        yes: nobody is asked.
        default: what Enter means.

    Raises:
        ClientError: the server can't be asked, there is no obvious one, or nobody can confirm it.
        click.exceptions.Exit: a person does not want it.
    """
    found: list[tuple[EnvironmentDeployments, Deployment]] = []

    async def look(client: Client) -> None:
        owner = await find_project(client, project_ref(project))
        environment_of = await find_environment(client, owner, environment_slug(environment))
        newest = await client.deployments(owner.project_id, environment_slug=environment_of.slug, limit=LOOKED_AT)
        place = EnvironmentDeployments(owner, environment_of, newest)
        found.append((place, pick(place)))

    run_with_client(url, look)
    ((place, target),) = found
    confirm(what(place, target), yes=yes, default=default)
    return target.deployment_id


def run_with_client(url: str | None, work: Callable[[Client], Awaitable[None]]) -> None:
    """Let `work` talk to the server, before a person is asked: a prompt would stand in the way of the event loop.

    Raises:
        ClientError: of the work.
        click.Abort: it was interrupted.
    """

    async def talk() -> int:
        async with open_client(url) as client:
            await work(client)
        return 0

    if drive(talk):
        raise click.Abort


def confirm(what: str, *, yes: bool, default: bool = False) -> None:
    """Go on only if a person at the terminal, or --yes, says so.

    Raises:
        InputError: nobody can be asked.
        click.exceptions.Exit: the person does not want it.
    """
    if yes:
        click.echo(prose(what), err=True)
        return
    if not (sys.stdin.isatty() and is_interactive()):
        raise InputError(f"would {what}; nobody is here to confirm it: add --yes", code="usage")
    confirm_or_exit(f"{what}?", default=default)


def deployment_label(one: Deployment) -> str:
    """A deployment in a few words, e.g. "dep_1 (main, 5 min old, Fix the form)"."""
    words = (clean(one.branch), f"{ago(one.created_at)} old", clean(one.git_commit.commit_message.split("\n")[0])[:40])
    return f"{one.deployment_id} ({', '.join(word for word in words if word)})"


def newest_promotable(place: EnvironmentDeployments) -> Deployment:
    """The newest ready one that came after the live one; after an app was taken down, the newest ready one."""
    live = place.environment.live_deployment_id
    live_seq = next((one.seq for one in place.newest if one.deployment_id == live), 0)
    for one in place.newest:
        is_ready = one.status == deployment_pb2.DEPLOYMENT_STATUS_READY and one.image_ref
        if is_ready and one.seq > live_seq:
            return one
    if live:
        said = f"nothing newer than the live {live} is ready in {place}: go back with sealift rollback, or name one"
    else:
        said = f"nothing is ready in {place}: deploy first"
    raise NotFoundError(f"{said} (see: sealift ls)", code="deployment.not_found")


def only_unfinished(place: EnvironmentDeployments) -> Deployment:
    """The only one that is under way."""
    return _only(place, [one for one in place.newest if not one.ended_at], "under way")


def only_stoppable(place: EnvironmentDeployments) -> Deployment:
    """The only one that runs and is not live."""
    running = (deployment_pb2.RUN_STATE_RUNNING, deployment_pb2.RUN_STATE_STANDBY)
    live = place.environment.live_deployment_id
    found = [
        one
        for one in place.newest
        if one.status == deployment_pb2.DEPLOYMENT_STATUS_READY
        and one.run_state in running
        and one.deployment_id != live
    ]
    return _only(place, found, "running beside the live one")


def live_deployment(place: EnvironmentDeployments) -> Deployment:
    """The live one."""
    live = place.environment.live_deployment_id
    return _only(place, [one for one in place.newest if one.deployment_id == live], "live")


def _only(place: EnvironmentDeployments, found: Sequence[Deployment], what: str) -> Deployment:
    if not found:
        raise NotFoundError(f"nothing is {what} in {place} (see: sealift ls)", code="deployment.not_found")
    if len(found) > 1:
        lines = "".join(f"\n  {deployment_label(one)}, {status_name(one.status)}" for one in found[:NAMED])
        more = f"\n  and {len(found) - NAMED} more, see: sealift ls" if len(found) > NAMED else ""
        raise InputError(f"{len(found)} deployments are {what} in {place}; name one:{lines}{more}", code="usage")
    return found[0]
