"""`sealift run`."""

import shlex

import click

from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.job_text import KIND_NAMES, STATUS_NAMES, job_json
from sealift.cli.format.tables import render_table
from sealift.cli.format.text import ago, clean
from sealift.cli.jobs import JobRun
from sealift.cli.parsing.options import env_option, json_option, project_option
from sealift.cli.parsing.param_types import TEXT, Duration
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.session import find_environment, find_project, open_client, run
from sealift.client.client import Client
from sealift.ctrl.v1 import environment_pb2, job_pb2

HEADER = ("JOB", "KIND", "STATUS", "EXIT", "AGE", "COMMAND")
DEFAULT_TIMEOUT_S = 3600
MAX_TIMEOUT_S = 86_400
MAX_LISTED = 20


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@project_option
@env_option
@click.option(
    "--timeout",
    type=Duration(1, MAX_TIMEOUT_S),
    default=DEFAULT_TIMEOUT_S,
    metavar="TIME",
    help="End it after this time, e.g. 90s, 15m or 6h; at most 1d.  [default: 1h]",
)
@click.option("--detach", "-d", is_flag=True, help="Don't wait; print the id of the job.")
@click.option("--list", "is_list", is_flag=True, help="List the last jobs, release commands among them.")
@click.option("--attach", type=TEXT, metavar="JOB", help="Print what a job prints, and wait for its end.")
@click.option("--stop", type=TEXT, metavar="JOB", help="End a job.")
@json_option
@click.pass_obj
def run_command(
    url: str | None,
    command: tuple[str, ...],
    project: str | None,
    environment: str | None,
    timeout: int,
    detach: bool,
    is_list: bool,
    attach: str | None,
    stop: str | None,
    as_json: bool,
) -> int:
    """Run COMMAND once in a container of its own, with the image and variables of what is live.

    Write -- before it. What it prints is printed here, and kept in the log of the deployment. Its exit code becomes
    that of this command, 124 if its time was over. Ctrl-C ends it, a second one leaves it alone. The image's entrypoint
    stays, and there is no shell: `sh -c "..."` is one.
    """
    chosen = sum([bool(command), is_list, attach is not None, stop is not None])
    if not chosen:
        raise click.UsageError("no command: sealift run -- COMMAND ARGUMENTS, or --list, --attach JOB, --stop JOB")
    if chosen > 1:
        raise click.UsageError("a command, --list, --attach and --stop exclude each other")

    async def work() -> int:
        async with open_client(url) as client:
            if stop is not None:
                return await _stop(client, stop)
            if attach is not None:
                return await JobRun(client, as_json=as_json).attach(await client.job(attach))
            place = await _place(client, project, environment)
            if is_list:
                return _show(await client.jobs(place.environment_id, limit=MAX_LISTED), as_json=as_json)
            job = await client.run_command(place.environment_id, command, timeout)
            if detach:
                click.echo(job_json(job) if as_json else job.job_id)
                return ExitCode.OK
            return await JobRun(client, as_json=as_json).attach(job, owns=True)

    return run(work)


async def _place(client: Client, project: str | None, environment: str | None) -> environment_pb2.Environment:
    found = await find_project(client, project_ref(project))
    return await find_environment(client, found, environment_slug(environment))


async def _stop(client: Client, job_id: str) -> int:
    job = await client.stop_job(job_id)
    click.echo(f"{job.job_id}: {STATUS_NAMES.get(job.status, 'unknown')}, to be stopped", err=True)
    return ExitCode.OK


def _show(found: list[job_pb2.Job], *, as_json: bool) -> int:
    if as_json:
        for one in found:
            click.echo(job_json(one))
        return ExitCode.OK
    rows = [
        (
            one.job_id,
            KIND_NAMES.get(one.kind, "-"),
            STATUS_NAMES.get(one.status, "unknown"),
            str(one.exit_code) if one.HasField("exit_code") else "-",
            ago(one.created_at),
            clean(shlex.join(one.command))[:80],
        )
        for one in found
    ]
    click.echo(render_table(HEADER, rows, spare=("COMMAND",)))
    return ExitCode.OK
