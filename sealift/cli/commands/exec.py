"""`sealift exec`."""

import os

import click

from sealift.cli.buildplan.processes import WEB
from sealift.cli.exec_session import STDIN, STDOUT, ExecSession
from sealift.cli.parsing.options import env_option, project_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.session import find_environment, find_project, open_client, run
from sealift.ctrl.v1 import exec_pb2

HINT = "name the command after --, for a shell: sealift exec -it -- sh"
_COMMAND = "sealift.exec.command"
_EPILOG = """\b
The exit code is the command's: 126 if it can't be executed, 127 if there is none of that name, 128 + N if signal N
ended it. What fails before that has the codes of all commands: 2, 3, 7, and 1."""


class _ExecCommand(click.Command):
    """Everything after the first -- is the command, whatever it looks like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own, command = _split(args)
        ctx.meta[_COMMAND] = tuple(command)
        try:
            return super().parse_args(ctx, list(own))
        except click.UsageError as error:
            if isinstance(error, click.NoSuchOption) or "unexpected extra argument" not in str(error):
                raise
            raise click.UsageError(HINT, ctx) from None

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND [ARGS]..."]


def _split(args: list[str]) -> tuple[list[str], list[str]]:
    at = args.index("--") if "--" in args else len(args)
    return args[:at], args[at + 1 :]


@click.command(cls=_ExecCommand, epilog=_EPILOG)
@project_option
@env_option
@click.option(
    "--deployment", "-d", type=TEXT, metavar="ID", help="In an instance of this one.  [default: the live one]"
)
@click.option(
    "--instance",
    type=TEXT,
    metavar="NUMBER",
    help="In this instance; REGION/NUMBER in that region.  [default: the first healthy one]",
)
@click.option(
    "--process", type=TEXT, metavar="NAME", help="In an instance of this process of [processes].  [default: web]"
)
@click.option("--stdin", "-i", is_flag=True, help="Send stdin to the command; without it, it reads an end.")
@click.option("--tty", "-t", is_flag=True, help="Give the command a terminal, that of this command.")
@click.pass_obj
def exec_command(
    url: str | None,
    project: str | None,
    environment: str | None,
    deployment: str | None,
    instance: str | None,
    process: str | None,
    stdin: bool,
    tty: bool,
) -> int:
    """Run a command in an instance, beside the app. For a shell: sealift exec -it -- sh.

    It runs with the app's user, variables and folder, and counts against the instance's memory. It is ended when this
    command ends, when nothing was sent or printed for long, and with the instance.
    """
    command: tuple[str, ...] = click.get_current_context().meta[_COMMAND]
    if not command:
        raise click.UsageError(HINT)
    _check_terminal(stdin=stdin, tty=tty)
    start = exec_pb2.ExecStart(command=command, stdin=stdin, tty=tty)
    if process and process != WEB:
        start.process = process
    if instance is not None:
        region, _, number = instance.rpartition("/")
        if not number.isascii() or not number.isdecimal() or len(number) > 4:
            raise click.UsageError(
                f"--instance: {instance!r:.80} is not a number such as 0, or local/0; see: sealift ps"
            )
        start.region, start.replica = region, int(number)

    async def work() -> int:
        async with open_client(url) as client:
            if deployment:
                start.deployment_id = deployment
            else:
                found = await find_project(client, project_ref(project))
                place = await find_environment(client, found, environment_slug(environment))
                start.environment_id = place.environment_id
            return await ExecSession(client.open_exec(), stdin=stdin, tty=tty).run(start)

    return run(work)


def _check_terminal(*, stdin: bool, tty: bool) -> None:
    """Raises UsageError for -t without a terminal."""
    if not tty:
        return
    needed = [("stdout", STDOUT)] + ([("stdin", STDIN)] if stdin else [])
    for name, descriptor in needed:
        if not os.isatty(descriptor):
            instead = ", -i alone sends stdin" if stdin else ""
            raise click.UsageError(f"-t: {name} is no terminal here: leave -t out{instead}")
