"""`sealift scale`."""

import click

from sealift.cli.buildplan.processes import WEB
from sealift.cli.operations import wait_for_operation
from sealift.cli.parsing.options import env_option, json_option, project_option, wait_timeout_option
from sealift.cli.parsing.param_types import TEXT, Number
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.session import find_environment, find_project, open_client, run


@click.command()
@click.argument("replicas", type=TEXT)
@click.option("--process", type=TEXT, metavar="NAME", help="Of this process.  [default: web]")
@project_option
@env_option
@wait_timeout_option
@json_option
@click.pass_obj
def scale(
    url: str | None,
    replicas: str,
    process: str | None,
    project: str | None,
    environment: str | None,
    wait_timeout: int,
    as_json: bool,
) -> int:
    """Run REPLICAS instances (1 to 20) in each region, and wait until they are healthy.

    PROCESS=REPLICAS, such as worker=3, is of a process of [processes], which may have 0. The number belongs to the
    environment: later deploys, promotes and rollbacks keep it, whatever sealift.toml says. `sealift stop --live` takes
    an app down.
    """
    name, number = _target(replicas, process)

    async def ask() -> int:
        async with open_client(url) as client:
            found = await find_project(client, project_ref(project))
            place = await find_environment(client, found, environment_slug(environment))
            operation = await client.scale(place.environment_id, number, name)
            return await wait_for_operation(client, operation, wait_timeout, as_json=as_json)

    return run(ask)


def _target(replicas: str, process: str | None) -> tuple[str, int]:
    """The process ("" for web) and its number. Raises UsageError."""
    named, equals, number = replicas.rpartition("=")
    if equals and process is not None and process != named:
        raise click.UsageError(f"{replicas!r:.80} and --process {process!r:.80} name two processes")
    name = (named if equals else process) or ""
    try:
        return "" if name == WEB else name, Number(0).convert(number, None, None)
    except click.BadParameter as error:
        hint = "" if number.isascii() and number.isdecimal() else ", or PROCESS=NUMBER"
        raise click.UsageError(f"REPLICAS: {error.message}{hint}") from None
