"""`sealift stats`."""

import json
import sys
import time

import click

from sealift.cli.format.stats_text import HEADER, TREND, stats_row
from sealift.cli.format.tables import render_table
from sealift.cli.format.text import clean, prose
from sealift.cli.parsing.options import any_env_option, json_option, project_option
from sealift.cli.parsing.param_types import TEXT, Duration
from sealift.cli.project.project_file import project_ref
from sealift.cli.session import find_project, open_client, run


@click.command()
@project_option
@any_env_option
@click.option("--deployment", "-d", type=TEXT, metavar="ID", help="Only this deployment.")
@click.option(
    "--since",
    type=Duration(60, 30 * 86400),
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How far back, e.g. 15m, 6h or 7d; at most 30d.",
)
@json_option
@click.pass_obj
def stats(
    url: str | None, project: str | None, environment: str | None, deployment: str | None, since: int, as_json: bool
) -> int:
    """Show how many requests the project's deployments got, how they were answered and how fast.

    A request counts when it ends, a websocket too. Times are until the app's answer begins, within 8 percent. Figures
    are kept by the minute for a day, and by the hour for 30 days.
    """

    async def report() -> int:
        with_points = as_json or sys.stdout.isatty()
        async with open_client(url) as client:
            if deployment:
                project_id = (await client.deployment(deployment)).project_id
            else:
                project_id = (await find_project(client, project_ref(project))).project_id
            found = await client.stats(
                project_id,
                since=int(time.time() - since) * 1000,
                environment_slug=environment,
                deployment_id=deployment,
                points=with_points,
            )
        if as_json:
            from sealift.cli.format.message_json import message_to_dict

            click.echo(json.dumps(message_to_dict(found), ensure_ascii=False))
            return 0
        rows = [stats_row(one, with_trend=with_points) for one in found.deployments]
        header = (*HEADER, TREND) if with_points else HEADER
        if rows:
            click.echo(render_table(header, rows, spare=("OUT", "ENVIRONMENT", "1XX", "3XX", "P90", TREND)))
        else:
            click.echo("no deployment got a request in this time, and none is live", err=True)
        if found.left_out:
            click.echo(f"and {found.left_out} more with fewer requests", err=True)
        for notice in found.notices:
            click.echo(prose(f"notice: {clean(notice)}"), err=True)
        return 0

    return run(report)
