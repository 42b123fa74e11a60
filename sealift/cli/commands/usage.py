"""`sealift usage`."""

import json
import time

import click

from sealift.cli.format.tables import render_table
from sealift.cli.format.text import clean, prose
from sealift.cli.format.usage_text import (
    DEPLOYMENT_HEADER,
    HEADER,
    PROCESS_HEADER,
    SPARE,
    deployment_rows,
    process_rows,
    usage_rows,
)
from sealift.cli.parsing.options import any_env_option, json_option, project_option
from sealift.cli.parsing.param_types import TEXT, Duration
from sealift.cli.project.project_file import project_ref
from sealift.cli.session import find_project, open_client, run


@click.command()
@project_option
@any_env_option
@click.option("--deployment", "-d", type=TEXT, metavar="ID", help="Only this deployment.")
@click.option("--deployments", "by_deployment", is_flag=True, help="A row for each deployment.")
@click.option("--processes", "by_process", is_flag=True, help="A row for each process.")
@click.option(
    "--since",
    type=Duration(60, 400 * 86400),
    default="1d",
    show_default=True,
    metavar="TIME",
    help="How far back, e.g. 2h, 7d or 90d; at most 400d.",
)
@json_option
@click.pass_obj
def usage(
    url: str | None,
    project: str | None,
    environment: str | None,
    deployment: str | None,
    by_deployment: bool,
    by_process: bool,
    since: int,
    as_json: bool,
) -> int:
    """Show what the project's instances used: CPU time, memory, network and disk, by environment and in total.

    Figures are kept by the minute for a day, by the hour for 30 days and by the day (UTC) for 400 days; the time begins
    with the step that it falls into. What is unknown is called so, and never counted as 0.
    """

    async def report() -> int:
        async with open_client(url) as client:
            if deployment:
                project_id = (await client.deployment(deployment)).project_id
            else:
                project_id = (await find_project(client, project_ref(project))).project_id
            found = await client.usage(
                project_id,
                since=int(time.time() - since) * 1000,
                environment_slug=environment,
                deployment_id=deployment,
                instances=as_json,
            )
        if as_json:
            from sealift.cli.format.message_json import message_to_dict

            click.echo(json.dumps(message_to_dict(found), ensure_ascii=False))
            return 0
        if not found.deployments:
            click.echo("nothing was measured in this time", err=True)
        elif by_process:
            click.echo(render_table(PROCESS_HEADER, process_rows(found), spare=SPARE))
        elif by_deployment or deployment:
            click.echo(render_table(DEPLOYMENT_HEADER, deployment_rows(found), spare=("ENVIRONMENT", *SPARE)))
        else:
            click.echo(render_table(HEADER, usage_rows(found), spare=SPARE))
        if found.left_out and (by_deployment or deployment):
            click.echo(f"and {found.left_out} more that used less CPU", err=True)
        for notice in found.notices:
            click.echo(prose(f"notice: {clean(notice)}"), err=True)
        return 0

    return run(report)
