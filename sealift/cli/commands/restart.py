"""`sealift restart`."""

import click

from sealift.cli.operations import wait_for_operation
from sealift.cli.parsing.options import env_option, json_option, project_option, wait_timeout_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.session import find_environment, find_project, open_client, run
from sealift.client.client import Client
from sealift.client.errors import NotFoundError


@click.command()
@click.argument("deployment", required=False, type=TEXT)
@project_option
@env_option
@wait_timeout_option
@json_option
@click.pass_obj
def restart(
    url: str | None,
    deployment: str | None,
    project: str | None,
    environment: str | None,
    wait_timeout: int,
    as_json: bool,
) -> int:
    """Make every instance of DEPLOYMENT (default: the live one) again, and wait until all are healthy.

    One instance at a time leaves the traffic and ends, after another one has taken its place. If the first new one
    does not become healthy, all that ran before goes on.
    """

    async def ask() -> int:
        async with open_client(url) as client:
            named = deployment or await _live(client, project, environment)
            operation = await client.restart(named)
            return await wait_for_operation(client, operation, wait_timeout, as_json=as_json)

    return run(ask)


async def _live(client: Client, project: str | None, environment: str | None) -> str:
    found = await find_project(client, project_ref(project))
    place = await find_environment(client, found, environment_slug(environment))
    if not place.live_deployment_id:
        raise NotFoundError(
            f"nothing is live in {found.slug} · {place.slug}: name a deployment of sealift ls, or deploy",
            code="environment.nothing_live",
        )
    return place.live_deployment_id
