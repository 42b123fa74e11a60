"""`sealift cancel`."""

import click

from sealift.cli.errors import fail
from sealift.cli.format.enum_names import build_status_name, status_name
from sealift.cli.parsing.options import env_option, json_option, project_option, yes_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.result import RESULT
from sealift.cli.selection import deployment_label, only_unfinished, select_deployment
from sealift.cli.session import open_client, run
from sealift.client.errors import ClientError


@click.command()
@click.argument("deployment", required=False, type=TEXT)
@project_option
@env_option
@yes_option
@json_option
@click.pass_obj
def cancel(
    url: str | None, deployment: str | None, project: str | None, environment: str | None, yes: bool, as_json: bool
) -> int:
    """Cancel the unfinished DEPLOYMENT (default: the only unfinished one). Idempotent.

    Live traffic is not affected. Once the routes are being moved, it can't be cancelled: use rollback. The id of a
    build cancels the build, and the deployment that waits for it.
    """
    if deployment and deployment.startswith("bld_"):
        return _cancel_build(url, deployment, as_json=as_json)
    try:
        named = deployment or select_deployment(
            url,
            project,
            environment,
            only_unfinished,
            lambda place, one: f"cancel {deployment_label(one)} of {place}",
            yes=yes,
        )
    except ClientError as error:
        return fail(error)

    async def ask() -> int:
        async with open_client(url) as client:
            found = await client.cancel_deployment(named)
        _tell(status_name(found.status), as_json=as_json, deployment_id=found.deployment_id)
        return 0

    return run(ask)


def _cancel_build(url: str | None, build_id: str, *, as_json: bool) -> int:
    async def ask() -> int:
        async with open_client(url) as client:
            found = await client.cancel_build(build_id)
        _tell(build_status_name(found.status), as_json=as_json, build_id=found.build_id)
        return 0

    return run(ask)


def _tell(state: str, *, as_json: bool, **named: str) -> None:
    """What became of the request; `named` is the id of what it was about, under its name in JSON."""
    (ident,) = named.values()
    click.echo(f"cancel requested: {ident} is {state}", err=True)
    if as_json:
        RESULT.write(status=state, exit_code=0, **named)
    else:
        click.echo(ident)
