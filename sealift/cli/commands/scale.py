"""`sealift scale`."""

import click

from sealift.cli.operations import wait_for_operation
from sealift.cli.parsing.options import env_option, json_option, project_option, wait_timeout_option
from sealift.cli.parsing.param_types import Number
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.session import find_environment, find_project, open_client, run


@click.command()
@click.argument("replicas", type=Number(0))
@project_option
@env_option
@wait_timeout_option
@json_option
@click.pass_obj
def scale(
    url: str | None, replicas: int, project: str | None, environment: str | None, wait_timeout: int, as_json: bool
) -> int:
    """Run REPLICAS instances (1 to 20) in each region, and wait until they are healthy.

    The number belongs to the environment: later deploys, promotes and rollbacks keep it, whatever sealift.toml says.
    `sealift stop --live` takes an app down.
    """

    async def ask() -> int:
        async with open_client(url) as client:
            found = await find_project(client, project_ref(project))
            place = await find_environment(client, found, environment_slug(environment))
            operation = await client.scale(place.environment_id, replicas)
            return await wait_for_operation(client, operation, wait_timeout, as_json=as_json)

    return run(ask)
