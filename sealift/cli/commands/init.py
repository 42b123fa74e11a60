"""`sealift init`."""

import os
import re
from pathlib import Path

import click

from sealift.cli.errors import fail
from sealift.cli.found_files import look
from sealift.cli.options import project_option
from sealift.cli.project_file import FILE_NAME, MAX_SLUG_CHARS, is_slug, load
from sealift.cli.text import prose
from sealift.client.errors import AlreadyExistsError, ClientError, InputError

_TEMPLATE = """\
# Settings of `sealift deploy` for this directory. Options and SEALIFT_* variables win over it.
project = "{slug}"
environment = "production"
# branch = "main"            # default: git's
# dockerfile = "Dockerfile"

# [build]
# target = "runtime"         # default: the last stage
# args = {{ NAME = "value" }}  # not for secrets: use --secret

# [run]                      # default: what the environment says
# port = 8080                # also handed to the app as $PORT
# memory_mib = 512
# disk_mib = 10240           # what an instance may write to its own disk
# cpu_millicores = 1000
# replicas = 1
# command = ["python", "app.py"]

# [run.health_check]
# path = "/healthz"          # default: the port accepts a connection

# [env]                      # no secrets: `sealift env set` and `sealift env import` are for those, and win
# LOG_LEVEL = "info"
"""


@click.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@project_option
@click.option("--create", is_flag=True, help="Create the project on the server, too; that it exists is no error.")
@click.pass_obj
def init(url: str | None, path: Path, project: str | None, create: bool) -> int:
    """Write a sealift.toml into PATH (default: this directory). An existing one is left alone.

    The project's slug is that of --project, else made from the directory's name.
    """
    try:
        slug = _named_in(path) if create and not project else None
        if slug:
            click.echo(f"{path / FILE_NAME} is there already: left alone", err=True)
        else:
            slug = project or slug_for(path)
            click.echo(f"wrote {write(path / FILE_NAME, slug)}", err=True)
    except ClientError as error:
        return fail(error)
    found = look(path)
    for line in found.lines():
        click.echo(prose(line), err=True)
    if create and (code := make_project(url, slug)):
        return code
    command = "sealift deploy" if create else "sealift deploy --create"
    if found.has_dockerfile:
        click.echo(f"next: {command}", err=True)
    else:
        way = "use a Dockerfile named above" if found.dockerfiles else "write a Dockerfile"
        click.echo(f"next: {way}; then: {command}", err=True)
    return 0


def _name(path: Path) -> str:
    """The directory's own name, also of "."."""
    try:
        return path.resolve().name
    except OSError as error:
        raise InputError(f"can't go to {path}: {error.strerror}") from None


def _named_in(path: Path) -> str | None:
    """The project of a file that is there already, which is only to be created now."""
    found = load(path).project
    return found if isinstance(found, str) and is_slug(found) else None


def slug_for(path: Path) -> str:
    """The slug of a project in this directory.

    Raises:
        InputError: none can be made of the directory's name.
    """
    name = _name(path)
    slug = slug_of(name)
    if not slug:
        raise InputError(f"no slug can be made of {name!r}; name one with --project")
    return slug


def slug_of(name: str) -> str:
    """A project slug from a directory's name, "" when nothing of it can be kept."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_SLUG_CHARS].strip("-")


def write(path: Path, slug: str) -> Path:
    """Write a new file.

    Raises:
        InputError: there is one already, or it can't be written.
    """
    if not is_slug(slug):
        raise InputError(
            f"{slug!r} is not a slug: use 1 to {MAX_SLUG_CHARS} of a-z, 0-9 and single hyphens, beginning and ending "
            "with a letter or digit"
        )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise InputError(f"{path} exists already; edit it, or remove it first") from None
    except OSError as error:
        raise InputError(f"can't write {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_TEMPLATE.format(slug=slug))
    return path


def make_project(url: str | None, slug: str) -> int:
    """Create a project; that it exists is no error. The exit code."""
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
