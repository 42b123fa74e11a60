"""`sealift promote`."""

import click

from sealift.cli.options import json_option, wait_timeout_option
from sealift.cli.session import open_client, run
from sealift.cli.switching import wait_for
from sealift.cli.values import TEXT


@click.command()
@click.argument("deployment", type=TEXT)
@wait_timeout_option
@json_option
@click.pass_obj
def promote(url: str | None, deployment: str, wait_timeout: int, as_json: bool) -> int:
    """Make the ready DEPLOYMENT the live one, and wait until it is.

    Ends a rolled-back state: new deployments take the routes again.
    """

    async def switch() -> int:
        async with open_client(url) as client:
            operation = await client.promote(deployment)
            return await wait_for(client, operation, wait_timeout, as_json=as_json)

    return run(switch)
