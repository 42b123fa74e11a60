"""The first deploy of a directory: its project is made on the way, if a person at the terminal or --create wants it."""

import shlex
import sys
from contextlib import suppress
from pathlib import Path

import click

from sealift.cli.errors import describe
from sealift.cli.new_project_file import slug_for, write
from sealift.cli.output.port import Output
from sealift.cli.project_file import FILE_NAME, checked_project, is_slug
from sealift.cli.text import confirm_or_exit, is_interactive, prose
from sealift.client.client import Client
from sealift.client.errors import AlreadyExistsError, InputError, NotFoundError


def may_ask() -> bool:
    """Whether a person is at the terminal who can be asked."""
    return sys.stdin.isatty() and is_interactive()


def name_project(path: Path, *, create: bool) -> str:
    """The slug of a new project for a directory that names none.

    Raises:
        InputError: neither --create nor a person says that it is wanted.
        click.exceptions.Exit: the person does not want it.
    """
    if not create and not may_ask():
        try:
            return checked_project(None)
        except InputError as error:
            raise InputError(
                f"{error.message}; `sealift deploy --create` makes one of this directory's name",
                code=error.code,
                field=error.field,
            ) from None
    slug = slug_for(path)
    if not create:
        where = "this directory" if path == Path() else str(path)
        question = f"No project is named in {where}. Make the project {slug!r}, note it in {FILE_NAME}, and deploy?"
        confirm_or_exit(question, default=True)
    return slug


def offer(project: str, error: NotFoundError) -> None:
    """Ask whether a project that does not exist is to be made.

    Raises:
        NotFoundError: the one given, as a project can't be called so.
        click.exceptions.Exit: the person does not want it.
    """
    if not is_slug(project):
        raise error
    click.echo(prose(describe(error)), err=True)
    confirm_or_exit(f"Make the project {project!r} now?", default=True)


def make_project(url: str | None, slug: str, output: Output) -> None:
    """Create a project; that it exists is no error.

    Raises:
        ClientError: it can't be created.
        click.Abort: it was interrupted.
    """
    with suppress(AlreadyExistsError):
        _create(url, slug, output)


def make_new_project(url: str | None, path: Path, slug: str, output: Output) -> None:
    """Create a project that got its name from the directory, and note it in the directory's sealift.toml.

    Raises:
        InputError: there is one of that name, which may be another app's, or the file can't be written.
        ClientError: it can't be created.
        click.Abort: it was interrupted.
    """
    file = write(path / FILE_NAME, slug)
    try:
        _create(url, slug, output)
    except AlreadyExistsError as error:
        file.unlink(missing_ok=True)
        deploy = "sealift deploy" if path == Path() else f"sealift deploy {shlex.quote(str(path))}"
        raise InputError(
            f"there is a project {slug!r} already, and only the directory's name says that this is the same app. If it "
            f"is:\n  {deploy} --project {slug}\nIf not, name a new one:\n  {deploy} --create --project NAME",
            code=error.code,
            field="project",
        ) from None
    click.echo(f"wrote {file}", err=True)


def _create(url: str | None, slug: str, output: Output) -> None:
    from sealift.cli.selection import run_with_client

    async def make(client: Client) -> None:
        if is_slug(slug):  # else it is an id: it exists, or never will
            made = await client.create_project(slug)
            output.note(f"project {made.slug} created")

    run_with_client(url, make)
