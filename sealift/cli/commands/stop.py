"""`sealift stop`."""

from collections.abc import Callable

import click

from sealift.cli.errors import fail
from sealift.cli.format.enum_names import run_state_name
from sealift.cli.format.text import clean
from sealift.cli.operations import wait_for_operation
from sealift.cli.parsing.options import env_option, json_option, project_option, wait_timeout_option, yes_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.selection import (
    Deployment,
    EnvironmentDeployments,
    deployment_label,
    live_deployment,
    only_stoppable,
    select_deployment,
)
from sealift.cli.session import open_client, run
from sealift.client.errors import ClientError, InputError


@click.command()
@click.argument("deployment", required=False, type=TEXT)
@click.option("--live", is_flag=True, help="Take the app down: stop the live deployment.")
@project_option
@env_option
@yes_option
@wait_timeout_option
@json_option
@click.pass_obj
def stop(
    url: str | None,
    deployment: str | None,
    live: bool,
    project: str | None,
    environment: str | None,
    yes: bool,
    wait_timeout: int,
    as_json: bool,
) -> int:
    """Stop the instances of DEPLOYMENT, which is ready and not live (default: the only one that runs).

    The hostname of its branch then says that the app is stopped (503), its own ones return 404. Promote and rollback
    can start it again. With --live, the app is taken down: visitors are told so until the next deploy or promote.
    """
    try:
        if live:
            named = select_deployment(url, project, environment, _live(deployment), _taking_down, yes=yes)
        else:
            named = deployment or select_deployment(url, project, environment, only_stoppable, _stopping, yes=yes)
    except ClientError as error:
        return fail(error)

    async def ask() -> int:
        async with open_client(url) as client:
            answer = await client.stop_deployment(named, take_down=live)
            if answer.HasField("operation"):
                return await wait_for_operation(client, answer.operation, wait_timeout, as_json=as_json)
        state = run_state_name(answer.deployment.run_state)  # an older server returns no operation
        click.echo(f"stop requested: {named} is {state}", err=True)
        click.echo(named)
        return 0

    return run(ask)


def _live(named: str | None) -> Callable[[EnvironmentDeployments], Deployment]:
    def pick(place: EnvironmentDeployments) -> Deployment:
        live = live_deployment(place)
        if named not in (None, live.deployment_id):
            raise InputError(f"{named} is not live in {place}, {live.deployment_id} is: omit the id or --live")
        return live

    return pick


def _taking_down(place: EnvironmentDeployments, target: Deployment) -> str:
    seen = f"; visitors of {clean(target.urls[0])} are told that it is stopped" if target.urls else ""
    return f"take down {place}: stop the live {deployment_label(target)}{seen}"


def _stopping(place: EnvironmentDeployments, target: Deployment) -> str:
    return f"stop {deployment_label(target)} of {place}"
