"""`sealift env`: environment variables. Secrets are read from stdin or a file, never from the command line."""

import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sealift.cli.errors import fail
from sealift.cli.format.enum_names import variable_state_name
from sealift.cli.format.tables import render_table
from sealift.cli.format.text import ago, prose
from sealift.cli.parsing.command_groups import CommandGroup, is_called_alone
from sealift.cli.parsing.options import env_option, json_option, project_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.project.dotenv import MAX_BYTES, parse
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.session import find_environment, find_project, open_client, run
from sealift.client.client import Client
from sealift.client.errors import InputError
from sealift.ctrl.v1 import environment_pb2

MAX_VALUE_BYTES = 32 << 10
_EXAMPLE = 'printf %s "${name}" | sealift env set {name}'


@click.group(cls=CommandGroup, invoke_without_command=True)
@project_option
@env_option
@json_option
@click.pass_context
def env(ctx: click.Context, project: str | None, environment: str | None, as_json: bool) -> int:
    """Manage the variables of an environment. Without a command: list them.

    Values are sealed on the server and never shown, unless set with --plain. A change applies to later deployments.
    [env] in sealift.toml sets defaults, which variables set here override.
    """
    return _list(ctx.obj, project, environment, as_json=as_json) if is_called_alone(ctx) else 0


@env.command("ls")
@project_option
@env_option
@json_option
@click.pass_obj
def list_variables(url: str | None, project: str | None, environment: str | None, as_json: bool) -> int:
    """List the variables: values of plain ones, age of the value, and whether the live deployment has it."""
    return _list(url, project, environment, as_json=as_json)


def _list(url: str | None, project: str | None, environment: str | None, *, as_json: bool) -> int:
    async def look(_: Client, place: environment_pb2.Environment) -> environment_pb2.Environment:
        return place

    def report(place: environment_pb2.Environment) -> None:
        plain = place.plain_variables
        variables = place.variables or [  # an older server says only the names
            environment_pb2.EnvironmentVariable(name=name) for name in place.variable_names
        ]
        if as_json:
            for one in variables:
                click.echo(json.dumps(_variable_result(one, place), ensure_ascii=False))
        elif variables:
            rows = [
                (
                    one.name,
                    printable_value(plain[one.name]) if one.name in plain else "(sealed)",
                    ago(one.updated_at),
                    _live_text(one.state, place.live_deployment_id),
                )
                for one in variables
            ]
            click.echo(render_table(("NAME", "VALUE", "AGE", "LIVE"), rows, flexible="VALUE"))
        else:
            click.echo(f"{place.slug} has no variables; set one with:\n  {_EXAMPLE.format(name='NAME')}", err=True)

    return _on_environment(url, project, environment, look, report)


def _variable_result(one: environment_pb2.EnvironmentVariable, place: environment_pb2.Environment) -> dict[str, Any]:
    return {
        "name": one.name,
        "value": place.plain_variables.get(one.name),
        "is_plain": one.name in place.plain_variables,
        "updated_at": one.updated_at or None,
        "state": variable_state_name(one.state),
        "live_deployment_id": place.live_deployment_id or None,
    }


def _live_text(state: environment_pb2.VariableState.ValueType, live: str) -> str:
    """What the live deployment has of a variable."""
    return {
        environment_pb2.VARIABLE_STATE_LIVE: live,
        environment_pb2.VARIABLE_STATE_CHANGED: f"not deployed yet, {live} has another value",
        environment_pb2.VARIABLE_STATE_NOT_DEPLOYED: "not deployed yet",
        environment_pb2.VARIABLE_STATE_REMOVED: f"removed, {live} still has it",
    }.get(state, "-")


def printable_value(value: str) -> str:
    """A value in one line without terminal escapes; with quotes if it has line breaks or unprintable characters."""
    return value if value.isprintable() and value == value.strip() and value else json.dumps(value, ensure_ascii=True)


@env.command("set")
@click.argument("names", nargs=-1, required=True, type=TEXT, metavar="NAME | --plain NAME=VALUE...")
@click.option("--file", "-f", type=click.Path(path_type=Path), help="Read the value from a file.  [default: stdin]")
@click.option("--plain", is_flag=True, help="Set NAME=VALUE..., not secret: `env ls` shows the values.")
@project_option
@env_option
@click.pass_obj
def set_value(
    url: str | None,
    names: tuple[str, ...],
    file: Path | None,
    plain: bool,
    project: str | None,
    environment: str | None,
) -> int:
    """Set NAME to the value on stdin, sealed. A final line break is removed.

    \b
    printf %s "$TOKEN" | sealift env set TOKEN
    sealift env set TLS_KEY --file key.pem
    sealift env set --plain LOG_LEVEL=debug WORKERS=4
    sealift env import .env
    """  # noqa: D301 - click needs the character \b
    try:
        if plain:
            values = plain_values(names, file)
        else:  # before the event loop starts, because a prompt blocks
            name = single_name(names)
            values = {name: read_value(name, file)}
    except InputError as error:
        return fail(error)
    return _put(url, project, environment, values, plain=plain)


@env.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--plain", is_flag=True, help="Not secret: `env ls` shows the values.")
@project_option
@env_option
@click.pass_obj
def import_file(url: str | None, file: Path, plain: bool, project: str | None, environment: str | None) -> int:
    """Set all variables in FILE, a .env file (-: stdin). Other variables are unchanged.

    Lines are NAME=value, with or without export, quotes and comments. Nothing is expanded: ${NAME} and $(command) are
    refused outside single quotes. PORT is ignored, because the port is a setting.
    """
    try:
        values = parse(_read_file(file), str(file))
        if values.pop("PORT", None) is not None:
            click.echo("ignored PORT: the port is a setting, set [run] port in sealift.toml", err=True)
        if not values:
            raise InputError(f"{file} contains no variables", field="file")
    except InputError as error:
        return fail(error)
    return _put(url, project, environment, values, plain=plain)


def _put(
    url: str | None, project: str | None, environment: str | None, values: Mapping[str, str], *, plain: bool
) -> int:
    async def put(client: Client, place: environment_pb2.Environment) -> environment_pb2.Environment:
        if plain:
            return await client.update_variables(place.environment_id, put_plain=values)
        return await client.update_variables(place.environment_id, put=values)

    def report(place: environment_pb2.Environment) -> None:
        are = "is" if len(values) == 1 else "are"
        click.echo(prose(f"{', '.join(values)} {are} set in {place.slug}; deploy to apply the change"), err=True)

    return _on_environment(url, project, environment, put, report)


@env.command("unset")
@click.argument("names", nargs=-1, type=TEXT, required=True, metavar="NAME...")
@project_option
@env_option
@click.pass_obj
def unset(url: str | None, names: tuple[str, ...], project: str | None, environment: str | None) -> int:
    """Remove variables. Variables that are not set are ignored."""

    async def drop(client: Client, place: environment_pb2.Environment) -> environment_pb2.Environment:
        return await client.update_variables(place.environment_id, drop=names)

    def report(place: environment_pb2.Environment) -> None:
        click.echo(f"{', '.join(names)} unset in {place.slug}; deploy to apply the change", err=True)

    return _on_environment(url, project, environment, drop, report)


def single_name(names: Sequence[str]) -> str:
    """The name whose value is read.

    Raises:
        InputError: several names, or a value; the message shows commands that work, and no value.
    """
    name = names[0].partition("=")[0]
    if len(names) > 1 or "=" in names[0]:
        raise InputError(
            "other users can see values on the command line, and the shell's history keeps them. For a secret:\n"
            f"  {_EXAMPLE.format(name=name)}\n"
            f"  sealift env set {name} --file FILE\n"
            "For many variables: sealift env import FILE. For a value that is not secret:\n"
            f"  sealift env set --plain {name}=VALUE",
            field="name",
        )
    return name


def plain_values(pairs: Sequence[str], file: Path | None) -> dict[str, str]:
    """The names and values of --plain.

    Raises:
        InputError: an argument is not NAME=VALUE or repeated, or --file is given.
    """
    if file:
        raise InputError("--plain takes NAME=VALUE and can't be combined with --file", field="file")
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise InputError(f"--plain: {pair!r:.80} is not NAME=VALUE", field="name")
        if name in found:
            raise InputError(f"--plain: {name} is given twice", field="name")
        found[name] = value
    return found


def _read_file(file: Path) -> bytes:
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1)
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"can't read {file}: {error.strerror}", field="file") from None


def read_value(name: str, file: Path | None) -> str:
    """A value from a file or stdin; on a terminal, prompt without echo.

    Raises:
        InputError: the value is not UTF-8, or too long.
    """
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
        raise InputError(f"the value of {name} is larger than 32 KiB", field="value")
    return value


def _on_environment(
    url: str | None,
    project: str | None,
    environment: str | None,
    work: Callable[[Client, environment_pb2.Environment], Awaitable[environment_pb2.Environment]],
    report: Callable[[environment_pb2.Environment], None],
) -> int:
    async def go() -> int:
        async with open_client(url) as client:
            found = await find_project(client, project_ref(project))
            place = await find_environment(client, found, environment_slug(environment))
            report(await work(client, place))
        return 0

    return run(go)
