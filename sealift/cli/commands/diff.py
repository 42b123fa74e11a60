"""`sealift diff`."""

import asyncio
import json
import shutil
import sys

import click

from sealift.cli.format.diff_text import difference_rows, same_variables_text
from sealift.cli.format.tables import columns, cut_middle, format_table
from sealift.cli.parsing.options import env_option, json_option, project_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.session import find_environment, find_project, open_client, run
from sealift.client.client import Client
from sealift.client.errors import InputError, NotFoundError

LIVE = "live"
MIN_VALUE_WIDTH = 16


@click.command()
@click.argument("first", metavar="A", type=TEXT)
@click.argument("second", metavar="B", type=TEXT)
@project_option
@env_option
@json_option
@click.pass_obj
def diff(url: str | None, first: str, second: str, project: str | None, environment: str | None, as_json: bool) -> int:
    """Show how the deployments A and B differ: image, commit, settings, and which variables.

    `live` stands for what is live in the environment. Values of variables are never shown: only whether one has them,
    and whether they are the same.

    \b
    sealift diff dep_a dep_b
    sealift diff live dep_b
    """  # noqa: D301 - click needs the character \b

    async def report() -> int:
        async with open_client(url) as client:
            idents = await asyncio.gather(*(_ident(client, one, project, environment) for one in (first, second)))
            found = await client.compare_deployments(*idents)
        rows = difference_rows(found)
        if as_json:
            from sealift.cli.format.message_json import message_to_dict

            differences = [
                {"name": name, "deployment": one or None, "other": other or None} for name, one, other in rows
            ]
            click.echo(json.dumps({**message_to_dict(found), "differences": differences}, ensure_ascii=False))
            return 0
        if rows:
            click.echo(_table(("", found.deployment.deployment_id, found.other.deployment_id), rows))
        else:
            click.echo("image, commit, settings and variables are the same", err=True)
        if same := same_variables_text(found):
            click.echo(same, err=True)
        return 0

    return run(report)


async def _ident(client: Client, named: str, project: str | None, environment: str | None) -> str:
    """The id that an argument stands for."""
    if named.startswith("bld_"):
        raise InputError(f"{named} is a build: name deployments (see: sealift ls)", field="deployment")
    if named != LIVE:
        return named
    found = await find_project(client, project_ref(project))
    place = await find_environment(client, found, environment_slug(environment))
    if not place.live_deployment_id:
        raise NotFoundError(
            f"nothing is live in {found.slug} · {place.slug} (see: sealift ls)", code="deployment.not_found"
        )
    return place.live_deployment_id


def _table(header: tuple[str, str, str], rows: list[tuple[str, str, str]]) -> str:
    """Complete for programs; on a terminal the values are cut to its width, both alike."""
    rows = [(name, one or "-", other or "-") for name, one, other in rows]
    if not sys.stdout.isatty():
        return format_table(header, rows)
    names = max(columns(row[0]) for row in rows)
    width = max(MIN_VALUE_WIDTH, (shutil.get_terminal_size().columns - names - 4) // 2)
    shown = [(row[0], *(cut_middle(value, width) for value in row[1:])) for row in (header, *rows)]
    return format_table(shown[0], shown[1:])
