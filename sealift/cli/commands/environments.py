"""`sealift environments`."""

import json

import click

from sealift.cli.options import json_option, project_option
from sealift.cli.project_file import project_ref
from sealift.cli.session import find_project, open_client, run
from sealift.cli.tables import show
from sealift.cli.text import ago

HEADER = ("ENVIRONMENT", "ID", "LIVE", "AGE", "")


@click.group(invoke_without_command=True)
@project_option
@json_option
@click.pass_context
def environments(ctx: click.Context, project: str | None, as_json: bool) -> int:
    """List the environments of the project."""
    if ctx.invoked_subcommand:
        return 0

    async def tell() -> int:
        async with open_client(ctx.obj) as client:
            place = await find_project(client, project_ref(project))
            found = await client.environments(place.project_id)
        if as_json:
            from sealift.cli.data import plain

            for one in found:
                click.echo(json.dumps(plain(one), ensure_ascii=False))
            return 0
        rows = [
            (
                one.slug,
                one.environment_id,
                one.live_deployment_id or "-",
                ago(one.created_at),
                "rolled back" if one.is_rolled_back else "",
            )
            for one in found
        ]
        click.echo(show(HEADER, rows, spare=("ID",)))
        return 0

    return run(tell)


@environments.command("create")
@click.argument("slug")
@project_option
@click.pass_context
def create(ctx: click.Context, slug: str, project: str | None) -> int:
    """Create the environment SLUG (1 to 40 of a-z, 0-9 and single hyphens). stdout gets its id."""

    async def make() -> int:
        async with open_client(ctx.obj) as client:
            place = await find_project(client, project_ref(project))
            made = await client.create_environment(place.project_id, slug)
        click.echo(
            f"environment {made.slug} of {place.slug} created; use it with: sealift deploy --env {made.slug}", err=True
        )
        click.echo(made.environment_id)
        return 0

    return run(make)
