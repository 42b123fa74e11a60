"""`sealift deploy`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import UnsetType
from msgspec.structs import replace

from sealift.cli.deploy.plan import Plan, build_args, checked_commit, checked_platform, read_secrets
from sealift.cli.deploy.source_command import SourceCommand, text_of
from sealift.cli.errors import fail
from sealift.cli.format.timeline import BUILT_STEPS, STEPS
from sealift.cli.output.port import Output
from sealift.cli.parsing.options import (
    BUILD_OPTIONS,
    build_options,
    create_option,
    detach_option,
    dry_run_option,
    env_option,
    event_json_option,
    idempotency_option,
    project_option,
    wait_timeout_option,
)
from sealift.cli.parsing.param_types import TEXT, Number
from sealift.cli.project.project_file import DEFAULT_ENVIRONMENT, ProjectFile, checked_environment
from sealift.client.client import Client
from sealift.client.errors import InputError

if TYPE_CHECKING:
    from sealift.cli.deploy.deploying import Deploy


@click.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@project_option
@env_option
@build_options
@click.option(
    "--image",
    type=TEXT,
    envvar="SEALIFT_IMAGE",
    show_envvar=True,
    metavar="REF",
    help="Deploy this image instead of building.",
)
@click.option("--build", "build_id", type=TEXT, metavar="BUILD", help="Deploy this earlier build instead of building.")
@click.option(
    "--branch",
    type=TEXT,
    envvar="SEALIFT_BRANCH",
    show_envvar=True,
    metavar="NAME",
    help="Branch.  [default: from git, else from the CI system, else main]",
)
@click.option(
    "--commit",
    type=TEXT,
    envvar="SEALIFT_COMMIT",
    show_envvar=True,
    metavar="SHA",
    help="Commit.  [default: from git]",
)
@click.option(
    "--port",
    type=Number(1, 65_535),
    envvar="SEALIFT_PORT",
    show_envvar=True,
    metavar="NUMBER",
    help="Port of the app, which gets it as PORT.  [default: [run] port, else detected]",
)
@create_option
@detach_option("deployment")
@dry_run_option
@event_json_option
@idempotency_option("deployment")
@wait_timeout_option
@click.pass_context
def deploy(
    ctx: click.Context,
    path: Path,
    project: str | None,
    environment: str | None,
    dockerfile: str | None,
    base_image: str | None,
    build_arg: tuple[str, ...],
    secret: tuple[str, ...],
    target: str | None,
    platform: str | None,
    no_cache: bool,
    no_git: bool,
    image: str | None,
    build_id: str | None,
    branch: str | None,
    commit: str | None,
    port: int | None,
    create: bool,
    detach: bool,
    dry_run: bool,
    as_json: bool,
    idempotency_key: str | None,
    wait_timeout: int,
) -> int:
    """Deploy the directory PATH (default: this one) and wait until it is live.

    .dockerignore excludes files from the build context. stdout gets the URL, stderr everything else. Options override
    environment variables, which override PATH/sealift.toml.
    """
    try:
        image = _image(ctx, image, build_id)
    except InputError as error:
        return fail(error)

    def make_plan(file: ProjectFile, project_ref: str, dockerfile: str) -> Plan:
        return Plan(
            project=project_ref,
            environment=checked_environment(environment or text_of(file.environment) or DEFAULT_ENVIRONMENT),
            branch=branch or text_of(file.branch),
            commit=checked_commit(commit),
            use_git=not no_git,
            image=image,
            build_id=build_id,
            dockerfile=dockerfile,
            build_args=build_args(build_arg, file),
            secrets=read_secrets(secret),
            target=target or text_of(file.build.target),
            platform=checked_platform(platform, file),
            no_cache=no_cache,
            run=file.run if port is None else replace(file.run, port=port),
            release=file.release,
            processes=None if isinstance(file.processes, UnsetType) else file.processes,
            variables=file.env,
            idempotency_key=idempotency_key,
        )

    def make_run(client: Client, output: Output, began: float) -> "Deploy":
        from sealift.cli.deploy.deploying import Deploy

        return Deploy(client, output, began)

    has_image = bool(image or build_id)
    return SourceCommand(
        verb="deploy",
        url=ctx.obj,
        path=path,
        steps=BUILT_STEPS if has_image else STEPS,
        make_plan=make_plan,
        make_run=make_run,
        project=project,
        dockerfile=dockerfile,
        base_image=base_image,
        has_image=has_image,
        knows_project=bool(build_id),
        create=create,
        detach=detach,
        dry_run=dry_run,
        as_json=as_json,
        wait_timeout_s=wait_timeout,
    ).run()


def _image(ctx: click.Context, image: str | None, build_id: str | None) -> str | None:
    """The image to deploy. Build options, and two sources, are refused; --build overrides SEALIFT_IMAGE.

    Raises:
        InputError: with the options to omit.
    """
    if build_id and image:
        if _is_given(ctx, "image"):
            raise InputError("--build and --image both name what to deploy: omit one", code="usage", field="build")
        image = None
    if build_id and not build_id.startswith("bld_"):
        raise InputError(
            f"--build {build_id!r:.80} is not a build id (bld_...): `sealift builds` lists them. To build and deploy a "
            "directory: sealift deploy PATH",
            field="build",
        )
    if image or build_id:
        given = [name for name in ("path", *BUILD_OPTIONS) if _is_given(ctx, name)]
        if given:
            names = ", ".join("PATH" if name == "path" else f"--{name.replace('_', '-')}" for name in given)
            option = "image" if image else "build"
            raise InputError(f"--{option} deploys a built image; omit {names}", code="usage", field=option)
    return image


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
