"""`sealift cancel`."""

import click

from sealift.cli.names import status_name
from sealift.cli.session import open_client, run
from sealift.cli.values import TEXT


@click.command()
@click.argument("deployment", type=TEXT)
@click.pass_obj
def cancel(url: str | None, deployment: str) -> int:
    """Stop DEPLOYMENT while it is under way. May be repeated.

    What is served stays as it is. Once the routes are being moved it is too late: use rollback.
    """

    async def ask() -> int:
        async with open_client(url) as client:
            found = await client.cancel_deployment(deployment)
        click.echo(f"asked {found.deployment_id} to stop; it is {status_name(found.status)} now", err=True)
        click.echo(found.deployment_id)
        return 0

    return run(ask)
