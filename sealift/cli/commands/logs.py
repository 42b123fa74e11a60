"""`sealift logs`."""

import json

import click

from sealift.cli.app_logs import (
    DEFAULT_TAIL,
    MAX_TAIL,
    LogsWanted,
    deployment_of_logs,
    follow_environment,
    pattern,
    print_logs,
)
from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.build_log import BuildLine, BuildLog
from sealift.cli.format.text import clean, prose, seconds
from sealift.cli.parsing.options import any_env_option, json_option, project_option
from sealift.cli.parsing.param_types import TEXT, Duration, Number
from sealift.cli.session import find_deployment, open_client, run
from sealift.client.errors import InputError
from sealift.client.follow import follow_build_logs
from sealift.ctrl.v1 import build_pb2

_EXIT_CODES = {build_pb2.BUILD_STATUS_SUCCEEDED: ExitCode.OK, build_pb2.BUILD_STATUS_CANCELLED: ExitCode.STOPPED}


@click.command()
@click.argument("deployment", required=False, type=TEXT)
@project_option
@any_env_option
@click.option("--build", is_flag=True, help="Print the build log.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what is printed; of a build, to its end.")
@click.option(
    "--since", type=Duration(1, 90 * 86400), metavar="TIME", help="Lines of this time, e.g. 15m, 6h or 7d; at most 90d."
)
@click.option(
    "--tail",
    "-n",
    type=Number(1, MAX_TAIL),
    metavar="LINES",
    help=f"Only the newest lines.  [default: {DEFAULT_TAIL}; all with --since, --grep or --after]",
)
@click.option("--instance", "-i", type=TEXT, multiple=True, metavar="NUMBER", help="Only this instance. Repeatable.")
@click.option("--process", type=TEXT, metavar="NAME", help="Only this process of [processes], or web.")
@click.option("--grep", type=TEXT, metavar="REGEX", help="Only lines that match.")
@click.option(
    "--after", type=TEXT, metavar="CURSOR", help="Only lines after this cursor; of a build, after this number."
)
@json_option
@click.pass_obj
def logs(
    url: str | None,
    deployment: str | None,
    project: str | None,
    environment: str | None,
    build: bool,
    follow: bool,
    since: int | None,
    tail: int | None,
    instance: tuple[str, ...],
    process: str | None,
    grep: str | None,
    after: str | None,
    as_json: bool,
) -> int:
    """Print what the instances of DEPLOYMENT print, by time.

    DEPLOYMENT defaults to the live one, else to the latest of the project; then --follow goes on with the next one that
    becomes live. With --build, or for the id of a build, print the build log. With --json, each line has a `cursor`, of
    a build a `seq`, which --after resumes from.
    """
    build = build or (deployment or "").startswith("bld_")
    if build and (since is not None or tail is not None or instance or process or grep is not None):
        raise click.UsageError(
            "--since, --tail, --instance, --process and --grep apply to what apps print, not to a build log"
        )
    if after is not None and (since is not None or tail is not None):
        raise click.UsageError("--after says where to begin: leave out --since and --tail")
    if build and after is not None and not after.isdecimal():
        raise click.UsageError(f"--after: {after!r:.80} is not the number of an event of a build")
    if not build and (after or "").isdecimal():
        raise click.UsageError("--after: a number is of a build log: add --build")
    after_seq = int(after or 0) if build else 0

    async def show_app() -> int:
        wanted = LogsWanted(follow, since, tail, after or "", instance, pattern(grep), as_json, process or "")
        async with open_client(url) as client:
            found = await deployment_of_logs(client, deployment, project, environment)
            prints = print_logs if deployment or not wanted.follows_environment else follow_environment
            return await prints(client, found, wanted, _note)

    async def show() -> int:
        async with open_client(url) as client:
            build_id = deployment or ""
            if not build_id.startswith("bld_"):
                found = await find_deployment(client, deployment, project, environment)
                build_id = found.build_id
                if not build_id:
                    raise InputError(f"deployment {found.deployment_id} was made from an image: it has no build log")
            log = BuildLog()
            is_empty = True
            async for event in follow_build_logs(client, build_id, after_seq=after_seq, follow=follow, notice=_note):
                if event.WhichOneof("event") == "end":
                    return _EXIT_CODES.get(event.end.status, ExitCode.BUILD_FAILED)
                _print(event, log, as_json=as_json)
                is_empty = False
        if is_empty and not after:
            _note(f"no log of {build_id} is stored: the build has not begun, or its log is kept no longer")
        return ExitCode.OK

    return run(show if build else show_app)


def _note(text: str) -> None:
    click.echo(prose(clean(text)), err=True)


def _print(event: build_pb2.GetBuildLogsResponse, log: BuildLog, *, as_json: bool) -> None:
    shown = log.feed(event)
    if as_json and isinstance(shown, BuildLine):
        values = {"seq": shown.seq, "at": event.at, "step": shown.step, "stream": shown.stream, "text": shown.text}
        click.echo(json.dumps(values, ensure_ascii=False))
    elif isinstance(shown, BuildLine):
        click.echo(shown.text)
    elif as_json and shown:
        click.echo(json.dumps({"seq": shown.seq, "at": event.at, "step": shown.name, "state": shown.state}))
    elif shown and shown.state == "started":
        click.echo(f"# {shown.name}")
    elif shown and shown.is_ended:
        took = f", {seconds(shown.duration_ms)}" if shown.duration_ms or shown.state == "completed" else ""
        click.echo(f"# {shown.name}: {shown.state}{took}")
