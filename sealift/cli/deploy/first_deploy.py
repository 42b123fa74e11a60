"""The first deploy or build of a directory: creates its project, if --create is given or the user confirms."""

import shlex
import sys
from contextlib import suppress
from pathlib import Path

import click

from sealift.cli.errors import describe
from sealift.cli.format.text import confirm_or_exit, is_interactive, prose
from sealift.cli.output.port import Output
from sealift.cli.project.new_project_file import slug_for, write
from sealift.cli.project.project_file import FILE_NAME, checked_project, is_slug
from sealift.client.client import Client
from sealift.client.errors import AlreadyExistsError, InputError, NotFoundError


def may_ask() -> bool:
    """Whether a user at a terminal can be asked."""
    return sys.stdin.isatty() and is_interactive()


def name_project(path: Path, *, create: bool, verb: str) -> str:
    """The slug of a new project for a directory that names none.

    Raises:
        InputError: without --create and without a terminal to ask on.
        click.exceptions.Exit: the user declined.
    """
    if not create and not may_ask():
        try:
            return checked_project(None)
        except InputError as error:
            raise InputError(
                f"{error.message}; `sealift {verb} --create` creates one named after this directory",
                code=error.code,
                field=error.field,
            ) from None
    slug = slug_for(path)
    if not create:
        where = "This directory" if path == Path() else str(path)
        question = f"{where} names no project. Create the project {slug!r}, write {FILE_NAME}, and {verb}?"
        confirm_or_exit(question, default=True)
    return slug


def offer(project: str, error: NotFoundError) -> None:
    """Ask whether to create a project that does not exist.

    Raises:
        NotFoundError: `error`, if `project` is not a valid slug.
        click.exceptions.Exit: the user declined.
    """
    if not is_slug(project):
        raise error
    click.echo(prose(describe(error)), err=True)
    confirm_or_exit(f"Create the project {project!r} now?", default=True)


def make_project(url: str | None, slug: str, output: Output) -> None:
    """Create a project unless it exists.

    Raises:
        ClientError: it can't be created.
        click.Abort: interrupted.
    """
    with suppress(AlreadyExistsError):
        _create(url, slug, output)


def make_new_project(url: str | None, path: Path, slug: str, output: Output, *, verb: str) -> None:
    """Create a project named after the directory, and write the directory's sealift.toml.

    Raises:
        InputError: the project exists and may belong to another app, or the file can't be written.
        ClientError: it can't be created.
        click.Abort: interrupted.
    """
    file = write(path / FILE_NAME, slug)
    try:
        _create(url, slug, output)
    except AlreadyExistsError as error:
        file.unlink(missing_ok=True)
        again = f"sealift {verb}" if path == Path() else f"sealift {verb} {shlex.quote(str(path))}"
        raise InputError(
            f"the project {slug!r} exists already, and may belong to another app. If this is the same app:\n"
            f"  {again} --project {slug}\nElse choose a new name:\n  {again} --create --project NAME",
            code=error.code,
            field="project",
        ) from None
    click.echo(f"wrote {file}", err=True)


def _create(url: str | None, slug: str, output: Output) -> None:
    from sealift.cli.selection import run_with_client

    async def make(client: Client) -> None:
        if is_slug(slug):  # an id can't be created
            made = await client.create_project(slug)
            output.note(f"project {made.slug} created")

    run_with_client(url, make)
