"""`sealift env`: environment variables. Values come from stdin or a file, never from the command line."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from sealift.cli.errors import fail
from sealift.cli.lazy import CommandGroup
from sealift.cli.options import env_option, json_option, project_option
from sealift.cli.project_file import environment_slug, project_ref
from sealift.cli.session import find_environment, find_project, open_client, run
from sealift.cli.values import TEXT
from sealift.client.client import Client
from sealift.client.errors import InputError
from sealift.ctrl.v1 import environment_pb2

MAX_VALUE_BYTES = 32 << 10


@click.group(cls=CommandGroup)
def env() -> None:
    """Environment variables of an environment.

    Values are sealed on the server and never shown. A change counts for deployments made from then on.
    """


@env.command("ls")
@project_option
@env_option
@json_option
@click.pass_obj
def list_names(url: str | None, project: str | None, environment: str | None, as_json: bool) -> int:
    """List the names of the variables."""

    async def show(_: Client, place: environment_pb2.Environment) -> environment_pb2.Environment:
        return place

    def tell(place: environment_pb2.Environment) -> None:
        for name in place.variable_names:
            click.echo(f'{{"name": "{name}"}}' if as_json else name)
        if not place.variable_names and not as_json:
            click.echo(f"{place.slug} has no variables; set one with: sealift env set NAME", err=True)

    return _on_environment(url, project, environment, show, tell)


@env.command("set")
@click.argument("name", type=TEXT)
@click.option("--file", "-f", type=click.Path(path_type=Path), help="Read the value from this file.  [default: stdin]")
@project_option
@env_option
@click.pass_obj
def set_value(url: str | None, name: str, file: Path | None, project: str | None, environment: str | None) -> int:
    """Set NAME to what stdin says (without the line break at its end).

    E.g.: printf %s "$TOKEN" | sealift env set TOKEN
    """
    try:
        value = read_value(name, file)  # before there is an event loop: a person may take their time, or leave
    except InputError as error:
        return fail(error)

    async def put(client: Client, place: environment_pb2.Environment) -> environment_pb2.Environment:
        return await client.update_variables(place.environment_id, put={name: value})

    def tell(place: environment_pb2.Environment) -> None:
        click.echo(f"{name} is set in {place.slug}; deploy again to use it", err=True)

    return _on_environment(url, project, environment, put, tell)


@env.command("unset")
@click.argument("names", nargs=-1, type=TEXT, required=True, metavar="NAME...")
@project_option
@env_option
@click.pass_obj
def unset(url: str | None, names: tuple[str, ...], project: str | None, environment: str | None) -> int:
    """Remove variables. Those that are not set are no error."""

    async def drop(client: Client, place: environment_pb2.Environment) -> environment_pb2.Environment:
        return await client.update_variables(place.environment_id, drop=names)

    def tell(place: environment_pb2.Environment) -> None:
        click.echo(f"{', '.join(names)} unset in {place.slug}; deploy again to run without", err=True)

    return _on_environment(url, project, environment, drop, tell)


def read_value(name: str, file: Path | None) -> str:
    """A value from a file or stdin; a person at a terminal is asked without echo.

    Raises:
        InputError: the name holds a value, or the value is not text or too long.
    """
    if "=" in name:
        raise InputError(
            f"give the name alone ({name.split('=', maxsplit=1)[0]}): values come from stdin or --file", field="name"
        )
    try:
        if file:
            raw = file.read_bytes()
        elif sys.stdin.isatty():
            raw = click.prompt(f"Value of {name}", hide_input=True, default="", show_default=False, err=True).encode()
        else:
            raw = sys.stdin.buffer.read(MAX_VALUE_BYTES + 3)
        value = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise InputError(f"can't read {file or 'stdin'}: {error.strerror}", field="value") from None
    except UnicodeDecodeError:
        raise InputError(f"the value of {name} is not UTF-8 text", field="value") from None
    if len(value.encode()) > MAX_VALUE_BYTES:
        raise InputError(f"the value of {name} is over 32 KiB", field="value")
    return value


def _on_environment(
    url: str | None,
    project: str | None,
    environment: str | None,
    work: Callable[[Client, environment_pb2.Environment], Awaitable[environment_pb2.Environment]],
    tell: Callable[[environment_pb2.Environment], None],
) -> int:
    async def go() -> int:
        async with open_client(url) as client:
            found = await find_project(client, project_ref(project))
            place = await find_environment(client, found, environment_slug(environment))
            tell(await work(client, place))
        return 0

    return run(go)
