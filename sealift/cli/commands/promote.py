"""`sealift promote`."""

import click

from sealift.cli.errors import fail
from sealift.cli.operations import wait_for_operation
from sealift.cli.parsing.options import env_option, json_option, project_option, wait_timeout_option, yes_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.selection import (
    deployment_label,
    newest_promotable,
    select_deployment,
)
from sealift.cli.session import open_client, run
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
    """Make the ready DEPLOYMENT live (default: the newest one, if newer than the live one) and wait until it is.

    After a promote, new deployments go live again, also after a rollback. Restores an app that was taken down.
    """
    try:
        named = deployment or select_deployment(
            url,
            project,
            environment,
            newest_promotable,
            lambda place, one: f"make {deployment_label(one)} live in {place}",
            yes=yes,
            default=True,
        )
    except ClientError as error:
        return fail(error)

    async def switch() -> int:
        async with open_client(url) as client:
            operation = await client.promote(named)
            return await wait_for_operation(client, operation, wait_timeout, as_json=as_json)

    return run(switch)
