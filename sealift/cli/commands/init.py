"""`sealift init`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from msgspec import UNSET

from sealift.cli.buildplan.model import BuildPlan
from sealift.cli.deploy.build_planning import chosen, find_plans, is_without_dockerfile, settings_of
from sealift.cli.errors import fail
from sealift.cli.format.text import prose
from sealift.cli.parsing.options import project_option
from sealift.cli.project.detection import detect
from sealift.cli.project.new_project_file import slug_for, write, write_new
from sealift.cli.project.project_file import FILE_NAME, is_slug, load
from sealift.client.context import DEFAULT_DOCKERFILE
from sealift.client.errors import AlreadyExistsError, ClientError, InputError


@click.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@project_option
@click.option("--create", is_flag=True, help="Also create the project on the server, unless it exists.")
@click.option("--dockerfile", is_flag=True, help="Write the Dockerfile that a deploy would generate, to be edited.")
@click.pass_obj
def init(url: str | None, path: Path, project: str | None, create: bool, dockerfile: bool) -> int:
    """Write a sealift.toml to PATH (default: this directory). An existing file is not changed.

    The project slug is --project, else it is derived from the directory's name.
    """
    try:
        slug = _named_in(path) if (create or dockerfile) and not project else None
        if slug:
            click.echo(f"{path / FILE_NAME} already exists: not changed", err=True)
        else:
            slug = project or slug_for(path)
            click.echo(f"wrote {write(path / FILE_NAME, slug)}", err=True)
        plan = _plan(path, must_be_one=dockerfile)
        if dockerfile and plan:
            click.echo(f"wrote {write_new(path / DEFAULT_DOCKERFILE, plan.dockerfile)}", err=True)
            if plan.processes and load(path).processes is UNSET:
                click.echo("beside a Dockerfile the Procfile is not read: add this to sealift.toml", err=True)
                click.echo(processes_toml(plan.processes), err=True)
    except ClientError as error:
        return fail(error)
    found = detect(path)
    for line in found.lines():
        click.echo(prose(line), err=True)
    if create and (code := make_project(url, slug)):
        return code
    command = "sealift deploy" if create else "sealift deploy --create"
    if found.has_dockerfile or plan:
        click.echo(f"next: {command}", err=True)
    else:
        step = "use a Dockerfile listed above" if found.dockerfiles else "write a Dockerfile"
        click.echo(f"next: {step}; then: {command}", err=True)
    return 0


def _plan(path: Path, *, must_be_one: bool) -> BuildPlan | None:
    """The plan for a directory without a Dockerfile, printed; None if it has one, or there is no plan.

    Raises:
        InputError: `must_be_one`, and there is no plan, or a Dockerfile.
    """
    file = load(path)
    if not is_without_dockerfile(path, file, None):
        if must_be_one:
            raise InputError(
                f"{path} has a Dockerfile, or sealift.toml names one: nothing was written in its place",
                code="context.dockerfile_exists",
                field="dockerfile",
            )
        return None
    try:
        plan = chosen(find_plans(path, settings_of(file), use_git=True), may_ask_user=must_be_one)
    except InputError as error:
        if must_be_one:
            raise
        click.echo(prose(error.message), err=True)
        return None
    click.echo(prose(f"no Dockerfile: {plan.sentence()}"), err=True)
    for note in plan.notes:
        click.echo(prose(note), err=True)
    if not must_be_one and (path / ".env").is_file():
        click.echo(".env is not sent: `sealift env import .env` sets its variables", err=True)
    return plan


def processes_toml(processes: Mapping[str, Sequence[str]]) -> str:
    """The section of these commands."""
    return "\n".join(
        f"[processes.{name}]\ncommand = {json.dumps(list(words), ensure_ascii=False)}"
        for name, words in processes.items()
    )


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
