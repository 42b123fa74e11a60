"""`sealift logs`."""

import json

import click

from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.build_log import BuildLine, BuildLog
from sealift.cli.format.deployment_text import app_output
from sealift.cli.format.text import clean, prose, seconds
from sealift.cli.parsing.options import any_env_option, json_option, project_option
from sealift.cli.parsing.param_types import TEXT, Number
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
@click.option("--follow", "-f", is_flag=True, help="Follow the build to its end; the exit code is its outcome.")
@click.option("--after", type=Number(0), default=0, metavar="SEQ", help="Only events after this number.")
@json_option
@click.pass_obj
def logs(
    url: str | None,
    deployment: str | None,
    project: str | None,
    environment: str | None,
    build: bool,
    follow: bool,
    after: int,
    as_json: bool,
) -> int:
    """Print the last output of the app of DEPLOYMENT, from a failed start or its last exit.

    With --build, or for the id of a build, print the build log. DEPLOYMENT defaults to the latest of the project. With
    --json, each line has a `seq`, which --after resumes from.
    """
    build = build or (deployment or "").startswith("bld_")
    if not build and (follow or after):
        raise click.UsageError("--follow and --after apply to build logs: add --build")

    async def show_app() -> int:
        async with open_client(url) as client:
            found = await find_deployment(client, deployment, project, environment)
        kept = list(app_output(found))
        if not kept:
            raise InputError(
                f"no output of {found.deployment_id} is stored: only that of a failed start or an app's last exit is. "
                "For a running app use docker logs on its machine, or kubectl logs where it runs on a cluster; for the "
                "build --build"
            )
        for heading, lines in kept:
            if as_json:
                click.echo(json.dumps({"of": heading, "lines": lines}, ensure_ascii=False))
            else:
                click.echo("\n".join([f"# {heading}", *lines]))
        return ExitCode.OK

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
            async for event in follow_build_logs(client, build_id, after_seq=after, follow=follow, notice=_note):
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
