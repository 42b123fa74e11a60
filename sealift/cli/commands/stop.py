"""`sealift stop`."""

import click

from sealift.cli.names import run_state_name
from sealift.cli.session import open_client, run
from sealift.cli.values import TEXT


@click.command()
@click.argument("deployment", type=TEXT)
@click.pass_obj
def stop(url: str | None, deployment: str) -> int:
    """Stop the instances of DEPLOYMENT, which is ready and not live. May be repeated.

    Its addresses answer 404 from then on. It stays a target of promote and rollback, which start it again.
    """

    async def ask() -> int:
        async with open_client(url) as client:
            found = await client.stop_deployment(deployment)
        click.echo(f"asked {found.deployment_id} to stop; it is {run_state_name(found.run_state)} now", err=True)
        click.echo(found.deployment_id)
        return 0

    return run(ask)
