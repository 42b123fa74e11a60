"""`sealift build`."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import click

from sealift.cli.deploy.plan import Plan, build_args, checked_platform, read_secrets
from sealift.cli.deploy.source_command import SourceCommand, text_of
from sealift.cli.format.timeline import BUILD_STEPS
from sealift.cli.output.port import Output
from sealift.cli.parsing.command_groups import HybridCommand, LazyCommand, complete_word
from sealift.cli.parsing.options import (
    build_options,
    create_option,
    detach_option,
    dry_run_option,
    event_json_option,
    idempotency_option,
    project_option,
    wait_timeout_option,
)
from sealift.cli.project.project_file import ProjectFile
from sealift.client.client import Client

if TYPE_CHECKING:
    from sealift.cli.deploy.building import BuildRun


class _BuildCommand(HybridCommand):
    lazy_commands: ClassVar = {
        "show": LazyCommand(
            "sealift.cli.commands.build_show:show",
            "Show a build. A directory called show is ./show.",
        )
    }


@click.command(cls=_BuildCommand)
@click.argument("path", default=".", type=click.Path(path_type=Path), shell_complete=complete_word)
@project_option
@build_options
@create_option
@detach_option("build")
@dry_run_option
@event_json_option
@idempotency_option("build")
@wait_timeout_option
@click.pass_obj
def build(
    url: str | None,
    path: Path,
    project: str | None,
    dockerfile: str | None,
    base_image: str | None,
    build_arg: tuple[str, ...],
    secret: tuple[str, ...],
    target: str | None,
    platform: str | None,
    no_cache: bool,
    no_git: bool,
    create: bool,
    detach: bool,
    dry_run: bool,
    as_json: bool,
    idempotency_key: str | None,
    wait_timeout: int,
) -> int:
    """Build the image of the directory PATH (default: this one) without deploying it.

    It is built as by `sealift deploy`, with [build] of PATH/sealift.toml. stdout gets the id of the build, stderr
    everything else. `sealift deploy --build BUILD` deploys it, `sealift cancel BUILD` cancels it.
    """

    def make_plan(file: ProjectFile, project_ref: str, dockerfile: str) -> Plan:
        return Plan(
            project=project_ref,
            environment="",
            use_git=not no_git,
            dockerfile=dockerfile,
            build_args=build_args(build_arg, file),
            secrets=read_secrets(secret),
            target=target or text_of(file.build.target),
            platform=checked_platform(platform, file),
            no_cache=no_cache,
            idempotency_key=idempotency_key,
        )

    def make_run(client: Client, output: Output, began: float) -> "BuildRun":
        from sealift.cli.deploy.building import BuildRun

        return BuildRun(client, output, began)

    return SourceCommand(
        verb="build",
        url=url,
        path=path,
        steps=BUILD_STEPS,
        make_plan=make_plan,
        make_run=make_run,
        project=project,
        dockerfile=dockerfile,
        base_image=base_image,
        create=create,
        detach=detach,
        dry_run=dry_run,
        as_json=as_json,
        wait_timeout_s=wait_timeout,
    ).run()
