"""`sealift promote`."""

import click

from sealift.cli.choosing import Deployment, Place, choose, described, to_promote
from sealift.cli.errors import fail
from sealift.cli.options import env_option, json_option, project_option, wait_timeout_option, yes_option
from sealift.cli.session import open_client, run
from sealift.cli.switching import wait_for
from sealift.cli.values import TEXT
from sealift.client.errors import ClientError


@click.command()
@click.argument("deployment", required=False, type=TEXT)
@project_option
@env_option
@yes_option
@wait_timeout_option
@json_option
@click.pass_obj
def promote(
    url: str | None,
    deployment: str | None,
    project: str | None,
    environment: str | None,
    yes: bool,
    wait_timeout: int,
    as_json: bool,
) -> int:
    """Make the ready DEPLOYMENT the live one (default: the newest, if it came after the live one); wait until it is.

    Ends a rolled-back state: new deployments take the routes again. Brings an app back that was taken down.
    """
    try:
        named = deployment or choose(
            url,
            project,
            environment,
            to_promote,
            lambda place, one: f"make {described(one)} live in {place}",
            yes=yes,
            default=True,
        )
    except ClientError as error:
        return fail(error)

    async def switch() -> int:
        async with open_client(url) as client:
            operation = await client.promote(named)
            return await wait_for(client, operation, wait_timeout, as_json=as_json)

    return run(switch)


def _making_live(place: Place, target: Deployment) -> str:
    return f"make {described(target)} live in {place}"
