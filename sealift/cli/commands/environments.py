"""`sealift environments`."""

import json
import shlex

import click

from sealift.cli.buildplan.processes import command_words
from sealift.cli.format.deployment_text import replicas_text
from sealift.cli.format.protocol_text import PROTOCOLS, protocol_text
from sealift.cli.format.tables import render_table
from sealift.cli.format.text import ago
from sealift.cli.parsing.command_groups import CommandGroup, is_called_alone
from sealift.cli.parsing.options import json_option, project_option
from sealift.cli.parsing.param_types import TEXT, TEXT_OR_EMPTY, Number
from sealift.cli.project.project_file import project_ref
from sealift.cli.session import find_environment, find_project, open_client, run
from sealift.ctrl.v1 import common_pb2

HEADER = ("ENVIRONMENT", "ID", "LIVE", "AGE", "")


@click.group(cls=CommandGroup, invoke_without_command=True)
@project_option
@json_option
@click.pass_context
def environments(ctx: click.Context, project: str | None, as_json: bool) -> int:
    """List the environments of the project."""
    return _show(ctx.obj, project, as_json=as_json) if is_called_alone(ctx) else 0


@environments.command("ls")
@project_option
@json_option
@click.pass_obj
def list_environments(url: str | None, project: str | None, as_json: bool) -> int:
    """List the environments of the project."""
    return _show(url, project, as_json=as_json)


def _show(url: str | None, project: str | None, *, as_json: bool) -> int:
    async def report() -> int:
        async with open_client(url) as client:
            place = await find_project(client, project_ref(project))
            found = await client.environments(place.project_id)
        if as_json:
            from sealift.cli.format.message_json import message_to_dict

            for one in found:
                click.echo(json.dumps(message_to_dict(one), ensure_ascii=False))
            return 0
        rows = [
            (
                one.slug,
                one.environment_id,
                one.live_deployment_id or ("stopped" if one.is_stopped else "-"),
                ago(one.created_at),
                "being deleted" if one.deletion_id else "rolled back" if one.is_rolled_back else "",
            )
            for one in found
        ]
        click.echo(render_table(HEADER, rows, spare=("ID",)))
        return 0

    return run(report)


@environments.command("create")
@click.argument("slug", type=TEXT)
@project_option
@click.pass_context
def create(ctx: click.Context, slug: str, project: str | None) -> int:
    """Create the environment SLUG (1 to 40 of a-z, 0-9 and single hyphens) and print its id."""

    async def make() -> int:
        async with open_client(ctx.obj) as client:
            place = await find_project(client, project_ref(project))
            made = await client.create_environment(place.project_id, slug)
        click.echo(
            f"environment {made.slug} of {place.slug} created; use it with: sealift deploy --env {made.slug}", err=True
        )
        click.echo(made.environment_id)
        return 0

    return run(make)


def release_text(settings: common_pb2.RuntimeSettings) -> str:
    """The release command, if there is one."""
    if not settings.release_command.values:
        return ""
    return f", release: {shlex.join(settings.release_command.values)} (at most {settings.release_timeout_s} s)"


# Options of the health check: name -> field.
_CHECK_FIELDS = {
    "health_check_interval_ms": "interval_ms",
    "health_check_timeout_ms": "timeout_ms",
    "start_timeout_s": "start_timeout_s",
}


def _checked_path(ctx: click.Context, param: click.Parameter, path: str | None) -> str | None:
    if path and not path.startswith("/"):
        raise click.BadParameter(f"{path!r:.80} must start with /")
    return path


def _split(ctx: click.Context, param: click.Parameter, line: str | None) -> list[str] | None:
    """The words of a command line."""
    try:
        return None if line is None else shlex.split(line)
    except ValueError as error:
        raise click.BadParameter(f"{line!r:.80} is not a command: {error}") from None


@environments.command("set")
@click.argument("slug", type=TEXT)
@click.option("--cpu-millicores", type=Number(50, 64_000), help="CPU of an instance; 1000 is one core.")
@click.option("--memory-mib", type=Number(16, 262_144), help="Memory of an instance, in MiB.")
@click.option("--disk-mib", type=Number(16, 1_048_576), help="Disk of an instance, in MiB.")
@click.option("--replicas", type=Number(1, 20), help="Instances in each region: a fixed number.")
@click.option("--min-replicas", type=Number(1, 20), help="Least instances in each region, where they are scaled.")
@click.option("--max-replicas", type=Number(1, 20), help="Most instances in each region, where they are scaled.")
@click.option(
    "--target-cpu-percent", type=Number(1, 100), help="CPU use that scaling aims at, in percent of an instance's."
)
@click.option("--port", type=Number(0, 65_535), help="Port of the app; 0: detect it.")
@click.option(
    "--protocol",
    type=click.Choice(sorted(PROTOCOLS)),
    help="What the app speaks; h2c is HTTP/2 without TLS, for gRPC.",
)
@click.option(
    "--health-check-path",
    type=TEXT_OR_EMPTY,
    callback=_checked_path,
    metavar="PATH",
    help='A healthy instance answers it with 200 to 399; "": its port accepts a connection.',
)
@click.option("--health-check-interval-ms", type=Number(100, 60_000), help="Interval of probes.")
@click.option("--health-check-timeout-ms", type=Number(100, 30_000), help="Timeout of a probe.")
@click.option("--start-timeout-s", type=Number(1, 900), help="Time to become healthy, else the start has failed.")
@click.option(
    "--command",
    type=TEXT_OR_EMPTY,
    callback=_split,
    metavar="LINE",
    help='Replaces the image\'s command, without a shell; "": that of the image.',
)
@click.option(
    "--release-command",
    type=TEXT_OR_EMPTY,
    metavar="LINE",
    help='Runs once per deploy, before anything of it starts; "": nothing does.',
)
@click.option("--release-timeout-s", type=Number(1, 3600), help="Time for the release command.")
@project_option
@click.pass_context
def change(
    ctx: click.Context,
    /,
    slug: str,
    project: str | None,
    protocol: str | None,
    health_check_path: str | None,
    command: list[str] | None,
    release_command: str | None,
    **given: int | None,
) -> int:
    """Change settings of the environment SLUG for later deployments, and print all its settings.

    [run] and [release] in sealift.toml override them.
    """
    check: dict[str, int | str | None] = {_CHECK_FIELDS[name]: given.pop(name) for name in _CHECK_FIELDS}
    check["path"] = health_check_path
    has_check = any(value is not None for value in check.values())
    settings = common_pb2.RuntimeSettings()
    for name, value in given.items():
        if value is not None:
            setattr(settings, name, value)
    if protocol is not None:
        settings.protocol = PROTOCOLS[protocol]
    if command is not None:
        settings.command.SetInParent()
        settings.command.values.extend(command)
    if release_command is not None:
        settings.release_command.SetInParent()
        settings.release_command.values.extend(command_words(release_command) if release_command.strip() else ())
    if not settings.ByteSize() and not has_check:
        raise click.UsageError("nothing to change: set at least one option")

    async def put() -> int:
        async with open_client(ctx.obj) as client:
            place = await find_project(client, project_ref(project))
            known = await find_environment(client, place, slug)
            if has_check:  # is replaced as a whole
                settings.health_check.CopyFrom(known.settings.health_check)
                for name, value in check.items():
                    if value is not None:
                        setattr(settings.health_check, name, value)
            updated = await client.update_settings(known.environment_id, settings)
        changed, scaled = updated.settings, f" ({updated.replicas} by sealift scale)" if updated.replicas else ""
        port = changed.port if changed.HasField("port") else "detected"
        click.echo(
            f"{changed.cpu_millicores} millicores, {changed.memory_mib} MiB of memory, "
            f"{changed.disk_mib} MiB of disk, replicas: {replicas_text(changed)}{scaled}, port: {port}, "
            f"protocol: {protocol_text(changed)}"
            + (f", health check: {changed.health_check.path}" if changed.health_check.path else "")
            + (f", command: {shlex.join(changed.command.values)}" if changed.command.values else "")
            + release_text(changed)
        )
        click.echo(f"{slug} of {place.slug} is changed; deploy to apply the change", err=True)
        return 0

    return run(put)
