"""`sealift projects`."""

import json

import click

from sealift.cli.format.tables import render_table
from sealift.cli.format.text import ago, clean
from sealift.cli.parsing.command_groups import CommandGroup, is_called_alone
from sealift.cli.parsing.options import json_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.session import open_client, run
from sealift.ctrl.v1 import project_pb2


@click.group(cls=CommandGroup, invoke_without_command=True)
@json_option
@click.pass_context
def projects(ctx: click.Context, as_json: bool) -> int:
    """List the projects of the workspace."""
    return _show(ctx.obj, as_json=as_json) if is_called_alone(ctx) else 0


@projects.command("ls")
@json_option
@click.pass_obj
def list_projects(url: str | None, as_json: bool) -> int:
    """List the projects of the workspace."""
    return _show(url, as_json=as_json)


def _show(url: str | None, *, as_json: bool) -> int:
    async def report() -> int:
        async with open_client(url) as client:
            found = [project async for project in client.projects()]
        if as_json:
            from sealift.cli.format.message_json import message_to_dict

            for one in found:
                click.echo(json.dumps(message_to_dict(one), ensure_ascii=False))
        elif found:
            rows = [
                (one.slug, clean(one.live_url) or "-", state(one), one.project_id, clean(one.name), ago(one.created_at))
                for one in found
            ]
            click.echo(
                render_table(("SLUG", "ADDRESS", "STATE", "ID", "NAME", "AGE"), rows, spare=("NAME", "ID", "AGE"))
            )
        else:
            click.echo("no projects yet; create one with: sealift projects create SLUG", err=True)
        return 0

    return run(report)


def state(one: project_pb2.Project) -> str:
    """The live state of a project, e.g. "live", "live, 0 of 2 healthy", "stopped"."""
    if one.deletion_id:
        return "being deleted"
    if not one.live_deployment_id:
        return "stopped" if one.is_stopped else "not live"
    if one.live_instances and one.healthy_instances == one.live_instances:
        return "live"
    return f"live, {one.healthy_instances} of {one.live_instances} healthy"


@projects.command("create")
@click.argument("slug", type=TEXT)
@click.option("--name", type=TEXT, help="Display name.  [default: the slug]")
@click.pass_context
def create(ctx: click.Context, slug: str, name: str | None) -> int:
    """Create the project SLUG (1 to 40 of a-z, 0-9 and single hyphens) and print its id."""

    async def make() -> int:
        async with open_client(ctx.obj) as client:
            made = await client.create_project(slug, name)
        click.echo(f"project {made.slug} created with the environments production and preview", err=True)
        click.echo(made.project_id)
        return 0

    return run(make)
