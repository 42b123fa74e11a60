"""`sealift status`."""

import json
import shutil
import sys
import time

import click

from sealift.cli.format.deployment_text import deployment_text
from sealift.cli.format.stats_text import traffic_text
from sealift.cli.format.text import clean
from sealift.cli.output import open_output
from sealift.cli.overview.reading import read_overview
from sealift.cli.overview.text import overview_json, overview_text
from sealift.cli.parsing.options import any_env_option, json_option, project_option, wait_timeout_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.recorded import Recorded
from sealift.cli.session import find_deployment, open_client, run
from sealift.client.client import Client
from sealift.client.errors import ClientError
from sealift.ctrl.v1 import deployment_pb2

TRAFFIC_MINUTES = 5


@click.command()
@click.argument("deployment", required=False, type=TEXT)
@project_option
@any_env_option
@click.option("--wait", "-w", is_flag=True, help="Wait for the outcome, as deploy does; the exit code is the outcome.")
@wait_timeout_option
@json_option
@click.pass_obj
def status(
    url: str | None,
    deployment: str | None,
    project: str | None,
    environment: str | None,
    wait: bool,
    wait_timeout: int,
    as_json: bool,
) -> int:
    """Show the environment on one screen, or all of DEPLOYMENT.

    The environment: what is live and warm, what failed last and why, instances, requests and errors of the last hour,
    domains and certificates. It is --env, else that of sealift.toml, else production. With --wait and without
    DEPLOYMENT, wait for the latest deployment of the project.
    """

    async def show() -> int:
        async with open_client(url) as client:
            if deployment is None:
                overview = await read_overview(client, project, environment)
                click.echo(overview_json(overview) if as_json else overview_text(overview, _width()))
                return 0
            found = await find_deployment(client, deployment, project, environment)
            traffic = await _traffic(client, found) if found.is_live and not as_json else ""
        if as_json:
            from sealift.cli.format.message_json import message_to_dict

            click.echo(json.dumps(message_to_dict(found), ensure_ascii=False))
        else:
            click.echo(deployment_text(found, _width(), traffic))
        return 0

    async def follow() -> int:
        from sealift.cli.deploy.deployment_watch import DeploymentWatch

        began = time.monotonic()
        async with open_client(url) as client:
            found = await find_deployment(client, deployment, project, environment)
            output = open_output(as_json=as_json)
            try:
                output.created(Recorded.deployment(found.deployment_id, found.build_id))
                return await DeploymentWatch(client, output, began).follow(found.deployment_id, wait_timeout)
            finally:
                output.close()

    return run(follow if wait else show)


def _width() -> int | None:
    """Columns of the terminal; None for programs, for which nothing is wrapped."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


async def _traffic(client: Client, found: deployment_pb2.Deployment) -> str:
    """What the deployment got in the last minutes; that it is unknown is no failure."""
    since = int(time.time() - TRAFFIC_MINUTES * 60) * 1000
    try:
        answer = await client.stats(found.project_id, since=since, deployment_id=found.deployment_id)
    except ClientError as error:
        return f"last {TRAFFIC_MINUTES} min: unknown ({clean(error.message)})"
    return traffic_text(answer, found.deployment_id, TRAFFIC_MINUTES)
