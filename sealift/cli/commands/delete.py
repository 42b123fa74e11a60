"""`sealift delete`."""

from collections.abc import Awaitable, Callable

import click

from sealift.cli.deletion_wait import record_and_wait
from sealift.cli.errors import fail
from sealift.cli.format.text import clean
from sealift.cli.parsing.command_groups import CommandGroup
from sealift.cli.parsing.options import json_option, project_option, wait_timeout_option, yes_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.project.project_file import project_ref
from sealift.cli.selection import confirm_by_name, deployment_label, run_with_client
from sealift.cli.session import find_environment, find_project, open_client, run
from sealift.client.client import Client
from sealift.client.errors import ClientError
from sealift.ctrl.v1 import deletion_pb2

_skip_option = click.option(
    "--skip-regions",
    is_flag=True,
    help="Go on without regions that do not confirm, also with a deletion that is under way.",
)
_no_wait_option = click.option("--no-wait", is_flag=True, help="Don't wait for the end of the deletion.")

Ask = Callable[[Client], Awaitable[deletion_pb2.Deletion]]


@click.group(cls=CommandGroup)
def delete() -> None:
    """Delete a deployment, an environment, or a project, with all that it has.

    What is under way there is cancelled first. Then routes, instances, images, build contexts, logs, figures, domains
    and certificates go. Nothing brings them back. The audit log stays.
    """


@delete.command("project")
@click.argument("slug", type=TEXT)
@yes_option
@_skip_option
@_no_wait_option
@wait_timeout_option
@json_option
@click.pass_obj
def delete_project(
    url: str | None, slug: str, yes: bool, skip_regions: bool, no_wait: bool, wait_timeout: int, as_json: bool
) -> int:
    """Delete the project SLUG. The slug is free again at the end.

    \b
    sealift delete project shop
    sealift delete project shop --yes
    """  # noqa: D301 - click needs the character \b
    found: list[tuple[str, str]] = []

    async def find(client: Client) -> None:
        project = await find_project(client, slug)
        environments = [one.slug for one in await client.environments(project.project_id)]
        live = f", which is live at {clean(project.live_url)}," if project.live_url else ""
        what = f"delete the project {project.slug}{live} with its environments {', '.join(environments)}"
        found.append((project.project_id, what))

    def ask(client: Client) -> Awaitable[deletion_pb2.Deletion]:
        return client.delete_project(found[0][0], skip_regions=skip_regions)

    return _delete(url, find, lambda: found[0][1], slug, ask, yes, 0 if no_wait else wait_timeout, as_json)


@delete.command("environment")
@click.argument("slug", type=TEXT)
@project_option
@yes_option
@_skip_option
@_no_wait_option
@wait_timeout_option
@json_option
@click.pass_obj
def delete_environment(
    url: str | None,
    slug: str,
    project: str | None,
    yes: bool,
    skip_regions: bool,
    no_wait: bool,
    wait_timeout: int,
    as_json: bool,
) -> int:
    """Delete the environment SLUG with its deployments, variables and domains; not that of production."""
    found: list[tuple[str, str]] = []

    async def find(client: Client) -> None:
        owner = await find_project(client, project_ref(project))
        environment = await find_environment(client, owner, slug)
        variables = f" and its {len(environment.variable_names)} variables" if environment.variable_names else ""
        what = f"delete the environment {environment.slug} of {owner.slug} with its deployments{variables}"
        found.append((environment.environment_id, what))

    def ask(client: Client) -> Awaitable[deletion_pb2.Deletion]:
        return client.delete_environment(found[0][0], skip_regions=skip_regions)

    return _delete(url, find, lambda: found[0][1], slug, ask, yes, 0 if no_wait else wait_timeout, as_json)


@delete.command("deployment")
@click.argument("deployment", type=TEXT)
@click.option(
    "--force", is_flag=True, help="Also if it is live (visitors are told that the app is stopped) or rolled back to."
)
@yes_option
@_skip_option
@_no_wait_option
@wait_timeout_option
@json_option
@click.pass_obj
def delete_deployment(
    url: str | None,
    deployment: str,
    force: bool,
    yes: bool,
    skip_regions: bool,
    no_wait: bool,
    wait_timeout: int,
    as_json: bool,
) -> int:
    """Delete DEPLOYMENT, named by its id: instances, image, build log and figures."""
    found: list[str] = []

    async def find(client: Client) -> None:
        one = await client.deployment(deployment)
        live = f", which is live at {clean(one.urls[0])}" if one.is_live and one.urls else ""
        found.append(f"delete {deployment_label(one)}{live}")

    def ask(client: Client) -> Awaitable[deletion_pb2.Deletion]:
        return client.delete_deployment(deployment, force=force, skip_regions=skip_regions)

    return _delete(url, find, lambda: found[0], deployment, ask, yes, 0 if no_wait else wait_timeout, as_json)


def _delete(
    url: str | None,
    find: Callable[[Client], Awaitable[None]],
    what: Callable[[], str],
    name: str,
    ask: Ask,
    yes: bool,
    wait_timeout_s: int,
    as_json: bool,
) -> int:
    """Finds what is named, has the user confirm it by its name, asks the server, and waits."""
    try:
        run_with_client(url, find)
        confirm_by_name(what(), name, yes=yes)
    except ClientError as error:
        return fail(error)

    async def go() -> int:
        async with open_client(url) as client:
            return await record_and_wait(client, await ask(client), wait_timeout_s, as_json=as_json)

    return run(go)
