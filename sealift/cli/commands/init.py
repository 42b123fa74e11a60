"""`sealift init`."""

from pathlib import Path

import click

from sealift.cli.errors import fail
from sealift.cli.format.text import prose
from sealift.cli.parsing.options import project_option
from sealift.cli.project.detection import detect
from sealift.cli.project.new_project_file import slug_for, write
from sealift.cli.project.project_file import FILE_NAME, is_slug, load
from sealift.client.errors import AlreadyExistsError, ClientError


@click.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@project_option
@click.option("--create", is_flag=True, help="Also create the project on the server, unless it exists.")
@click.pass_obj
def init(url: str | None, path: Path, project: str | None, create: bool) -> int:
    """Write a sealift.toml to PATH (default: this directory). An existing file is not changed.

    The project slug is --project, else it is derived from the directory's name.
    """
    try:
        slug = _named_in(path) if create and not project else None
        if slug:
            click.echo(f"{path / FILE_NAME} already exists: not changed", err=True)
        else:
            slug = project or slug_for(path)
            click.echo(f"wrote {write(path / FILE_NAME, slug)}", err=True)
    except ClientError as error:
        return fail(error)
    found = detect(path)
    for line in found.lines():
        click.echo(prose(line), err=True)
    if create and (code := make_project(url, slug)):
        return code
    command = "sealift deploy" if create else "sealift deploy --create"
    if found.has_dockerfile:
        click.echo(f"next: {command}", err=True)
    else:
        step = "use a Dockerfile listed above" if found.dockerfiles else "write a Dockerfile"
        click.echo(f"next: {step}; then: {command}", err=True)
    return 0


def _named_in(path: Path) -> str | None:
    """The project in an existing file, which only has to be created on the server."""
    found = load(path).project
    return found if isinstance(found, str) and is_slug(found) else None


def make_project(url: str | None, slug: str) -> int:
    """Create a project unless it exists; return the exit code."""
    from sealift.cli.session import open_client, run

    async def make() -> int:
        async with open_client(url) as client:
            try:
                made = await client.create_project(slug)
                click.echo(f"project {made.slug} created", err=True)
            except AlreadyExistsError:
                click.echo(f"project {slug} exists", err=True)
        return 0

    return run(make)
