"""`sealift stop`."""

from collections.abc import Callable

import click

from sealift.cli.choosing import Deployment, Place, choose, described, to_stop, to_take_down
from sealift.cli.errors import fail
from sealift.cli.names import run_state_name
from sealift.cli.options import env_option, json_option, project_option, wait_timeout_option, yes_option
from sealift.cli.session import open_client, run
from sealift.cli.switching import wait_for
from sealift.cli.text import clean
from sealift.cli.values import TEXT
from sealift.client.errors import ClientError, InputError


@click.command()
@click.argument("deployment", required=False, type=TEXT)
@click.option("--live", is_flag=True, help="Take the app down: stop what is live, and serve nothing in its place.")
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
    """Stop the instances of DEPLOYMENT, which is ready and not live (default: the only such one that runs).

    Its addresses, that of its branch included, answer 404 from then on. It stays a target of promote and rollback,
    which start it again. With --live the app is taken down: visitors get that 404 until the next deploy or promote.
    """
    try:
        if live:
            named = choose(url, project, environment, _live(deployment), _taking_down, yes=yes)
        else:
            named = deployment or choose(url, project, environment, to_stop, _stopping, yes=yes)
    except ClientError as error:
        return fail(error)

    async def ask() -> int:
        async with open_client(url) as client:
            answer = await client.stop_deployment(named, take_down=live)
            if answer.HasField("operation"):
                return await wait_for(client, answer.operation, wait_timeout, as_json=as_json)
        state = run_state_name(answer.deployment.run_state)  # of a server that tells no operation yet
        click.echo(f"asked {named} to stop; it is {state} now", err=True)
        click.echo(named)
        return 0

    return run(ask)


def _live(named: str | None) -> Callable[[Place], Deployment]:
    def pick(place: Place) -> Deployment:
        live = to_take_down(place)
        if named not in (None, live.deployment_id):
            raise InputError(f"{named} is not live in {place}, {live.deployment_id} is: leave out one of the two")
        return live

    return pick


def _taking_down(place: Place, target: Deployment) -> str:
    seen = f"; visitors of {clean(target.urls[0])} get 404" if target.urls else ""
    return f"take down {place}: stop the live {described(target)}{seen}"


def _stopping(place: Place, target: Deployment) -> str:
    return f"stop {described(target)} of {place}"
