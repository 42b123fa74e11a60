"""`sealift open`."""

import json
import os
import re
import sys

import click

from sealift.cli.errors import fail
from sealift.cli.format.text import clean, is_interactive, prose
from sealift.cli.parsing.options import env_option, json_option, project_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.selection import run_with_client
from sealift.cli.session import find_deployment, find_environment, find_project
from sealift.client.client import Client
from sealift.client.errors import ClientError, NotFoundError, ServerError
from sealift.ctrl.v1 import deployment_pb2

_WEB = re.compile(r"https?://[A-Za-z0-9._-]+(:[0-9]+)?(/[!-~]*)?")


@click.command("open")
@click.argument("deployment", required=False, type=TEXT)
@project_option
@env_option
@click.option("--print", "only_print", is_flag=True, help="Print the URL only.")
@json_option
@click.pass_obj
def open_command(
    url: str | None,
    deployment: str | None,
    project: str | None,
    environment: str | None,
    only_print: bool,
    as_json: bool,
) -> int:
    """Print the URL of DEPLOYMENT (default: what is live), and open it in the browser.

    A browser is opened at a terminal of a machine with a display, or with the one that $BROWSER names.
    """
    found: list[deployment_pb2.Deployment] = []

    async def find(client: Client) -> None:
        found.append(
            await find_deployment(client, deployment, project, environment)
            if deployment
            else await _live(client, project, environment)
        )

    try:
        run_with_client(url, find)
        address = url_to_open(found[0])
    except ClientError as error:
        return fail(error)
    if as_json:
        facts = {
            "url": address,
            "deployment_id": found[0].deployment_id,
            "environment_slug": found[0].environment_slug,
            "is_live": found[0].is_live,
        }
        click.echo(json.dumps(facts, ensure_ascii=False))
        return 0
    click.echo(address)
    if not only_print and can_open():
        import webbrowser

        if not webbrowser.open(address):
            click.echo(prose("no browser could be started: open the URL by hand"), err=True)
    return 0


async def _live(client: Client, project: str | None, environment: str | None) -> deployment_pb2.Deployment:
    """What is live in the environment. Raises NotFoundError, which says what helps."""
    owner = await find_project(client, project_ref(project))
    place = await find_environment(client, owner, environment_slug(environment))
    if place.live_deployment_id:
        return await client.deployment(place.live_deployment_id)
    name = f"{owner.slug} · {place.slug}"
    message = (
        f"{name} is stopped; to start it again: sealift promote"
        if place.is_stopped
        else f"nothing is live in {name}; to deploy: sealift deploy"
    )
    raise NotFoundError(message, code="deployment.not_found")


def url_to_open(found: deployment_pb2.Deployment) -> str:
    """The first URL that names one host.

    Raises:
        NotFoundError: the deployment has none.
        ServerError: it is not one of the web, so that no program should be started with it.
    """
    address = next((url for url in found.urls if "*" not in url), "")
    if not address:
        raise NotFoundError(
            f"no hostname leads to {found.deployment_id} (see: sealift status {found.deployment_id})",
            code="deployment.not_found",
        )
    if not _WEB.fullmatch(address):
        raise ServerError(f"the server's URL {clean(address)!r:.200} is not one of the web: it is not opened")
    return address


def can_open() -> bool:
    """Whether a person is at the terminal and a browser can be shown to them."""
    if not (sys.stdout.isatty() and is_interactive()):
        return False
    if sys.platform in ("darwin", "win32"):
        return "SSH_CONNECTION" not in os.environ or "BROWSER" in os.environ
    return any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
