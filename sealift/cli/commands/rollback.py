"""`sealift rollback`."""

import click

from sealift.cli.operations import wait_for_operation
from sealift.cli.parsing.options import env_option, json_option, project_option, wait_timeout_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.session import find_environment, find_project, open_client, run


@click.command()
@project_option
@env_option
@click.option(
    "--to",
    "target",
    type=TEXT,
    metavar="DEPLOYMENT",
    help="Target of the rollback.  [default: the previous live deployment]",
)
@wait_timeout_option
@json_option
@click.pass_obj
def rollback(
    url: str | None,
    project: str | None,
    environment: str | None,
    target: str | None,
    wait_timeout: int,
    as_json: bool,
) -> int:
    """Return to an earlier deployment, with its image and settings, and wait until it is live.

    After a rollback, new deployments become ready without going live, until a promote.
    """

    async def switch() -> int:
        async with open_client(url) as client:
            found = await find_project(client, project_ref(project))
            place = await find_environment(client, found, environment_slug(environment))
            operation = await client.rollback(place.environment_id, target)
            return await wait_for_operation(client, operation, wait_timeout, as_json=as_json)

    return run(switch)
