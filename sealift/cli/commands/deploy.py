"""`sealift deploy`."""

import sys
import time
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from sealift.cli import first_deploy, project_file
from sealift.cli.detection import detect
from sealift.cli.errors import exit_code
from sealift.cli.options import env_option, project_option, wait_timeout_option
from sealift.cli.output import open_output
from sealift.cli.output.port import Output
from sealift.cli.param_types import TEXT, Number
from sealift.cli.plan import Plan, build_args, checked_commit, read_secrets
from sealift.cli.project_file import DEFAULT_ENVIRONMENT, checked_environment, checked_project
from sealift.cli.result import RESULT
from sealift.cli.text import context_text
from sealift.client.context import (
    DEFAULT_DOCKERFILE,
    Context,
    path_list,
    printable_path,
    refuse_without_dockerfile,
    scan,
    size_text,
)
from sealift.client.context_limits import check_limits
from sealift.client.errors import ClientError, InputError, NotFoundError
from sealift.client.git import GitInfo, read_git

_SOURCE_OPTIONS = ("dockerfile", "build_arg", "secret", "target", "platform", "no_git")


@click.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@project_option
@env_option
@click.option(
    "--dockerfile",
    "-f",
    type=TEXT,
    envvar="SEALIFT_DOCKERFILE",
    show_envvar=True,
    metavar="FILE",
    help="Dockerfile, relative to PATH.  [default: Dockerfile]",
)
@click.option(
    "--build-arg", type=TEXT, multiple=True, metavar="NAME=VALUE", help="Build argument; not for secrets. Repeatable."
)
@click.option(
    "--secret",
    type=TEXT,
    multiple=True,
    metavar="id=NAME,env=VAR|src=FILE",
    help="Build secret for RUN --mount=type=secret, from a variable or file. Repeatable.",
)
@click.option("--target", type=TEXT, metavar="STAGE", help="Stage of the Dockerfile to build.  [default: the last]")
@click.option("--platform", type=TEXT, metavar="OS/ARCH", help="Platform to build for.  [default: the builder's own]")
@click.option(
    "--image",
    type=TEXT,
    envvar="SEALIFT_IMAGE",
    show_envvar=True,
    metavar="REF",
    help="Deploy this image instead of building.",
)
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
@click.option(
    "--no-git",
    is_flag=True,
    envvar="SEALIFT_NO_GIT",
    show_envvar=True,
    help="Ignore git: its branch, commit and ignored files.",
)
@click.option(
    "--create", is_flag=True, help="Create the project if it is missing, and sealift.toml if no project is named."
)
@click.option(
    "--detach", "-d", is_flag=True, help="Don't wait; print the deployment id once the server has recorded it."
)
@click.option("--dry-run", is_flag=True, help="Print what would be sent, without sending it.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one per line; the last one is the result.")
@click.option(
    "--idempotency-key",
    type=TEXT,
    envvar="SEALIFT_IDEMPOTENCY_KEY",
    show_envvar=True,
    metavar="KEY",
    help="Within 24 h, the same key with the same content creates one deployment only.",
)
@wait_timeout_option
@click.pass_context
def deploy(
    ctx: click.Context,
    path: Path,
    project: str | None,
    environment: str | None,
    dockerfile: str | None,
    build_arg: tuple[str, ...],
    secret: tuple[str, ...],
    target: str | None,
    platform: str | None,
    image: str | None,
    branch: str | None,
    commit: str | None,
    no_git: bool,
    create: bool,
    port: int | None,
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
    began = time.monotonic()
    output = open_output(as_json=as_json)
    try:
        if image:
            _refuse_source_options(ctx)
        else:
            _check_directory(path)
        file = project_file.load(path)
        dockerfile = dockerfile or _text(file.dockerfile) or DEFAULT_DOCKERFILE
        project_ref = project or _text(file.project)
        is_new = not project_ref and not dry_run and not image
        if (is_new or create) and not image:
            refuse_without_dockerfile(path, dockerfile)
        if is_new:
            output.close()
            project_ref = first_deploy.name_project(path, create=create)
            output, began = open_output(as_json=as_json), time.monotonic()
        plan = Plan(
            project=project_ref or "-" if dry_run else checked_project(project_ref),
            environment=checked_environment(environment or _text(file.environment) or DEFAULT_ENVIRONMENT),
            branch=branch or _text(file.branch),
            commit=checked_commit(commit),
            use_git=not no_git,
            image=image,
            dockerfile=dockerfile,
            build_args=build_args(build_arg, file),
            secrets=read_secrets(secret),
            target=target or _text(file.build.target),
            platform=platform or _text(file.build.platform),
            run=file.run if port is None else replace(file.run, port=port),
            variables=file.env,
            idempotency_key=idempotency_key,
        )
        if dry_run:
            return _dry_run(plan, path, output, as_json=as_json)
        if is_new:
            first_deploy.make_new_project(ctx.obj, path, plan.project, output)
        elif create:
            first_deploy.make_project(ctx.obj, plan.project, output)
        try:
            return _deploy(ctx.obj, output, plan, path, detach=detach, wait_timeout_s=wait_timeout, began=began)
        except NotFoundError as error:
            if error.code != "project.not_found" or as_json or not first_deploy.may_ask():
                raise
            output.close()
            first_deploy.offer(plan.project, error)
            output, began = open_output(as_json=as_json), time.monotonic()
            first_deploy.make_project(ctx.obj, plan.project, output)
            return _deploy(ctx.obj, output, plan, path, detach=detach, wait_timeout_s=wait_timeout, began=began)
    except ClientError as error:
        code = exit_code(error)
        output.error(_with_found_files(error, path), code)
        return code
    finally:
        output.close()


def _with_found_files(error: ClientError, path: Path) -> ClientError:
    """The error; if a Dockerfile is missing, with the files that were found instead."""
    if not isinstance(error, InputError) or error.code != "context.no_dockerfile":
        return error
    found = detect(path)
    if not (sentences := found.lines()):
        return error
    what = error.message.partition("; ")[0] if found.dockerfiles else error.message  # they are named below
    return InputError("\n".join([what, *sentences]), code=error.code, field=error.field)


def _deploy(
    url: str | None, output: Output, plan: Plan, path: Path, *, detach: bool, wait_timeout_s: float, began: float
) -> int:
    from sealift.cli.deploying import Deploy
    from sealift.cli.session import configure_tracing, drive, open_client

    tracing = configure_tracing()

    async def work() -> int:
        async with open_client(url, tracing) as client:
            deploying = Deploy(client, output, began)
            return await deploying.run(plan, path, detach=detach, wait_timeout_s=wait_timeout_s)

    try:
        return drive(work)
    finally:
        tracing.shutdown()


def _dry_run(plan: Plan, path: Path, output: Output, *, as_json: bool) -> int:
    """List the files that would be sent, without calling the server."""
    if plan.image:
        output.note(f"would deploy the image {plan.image}")
        if as_json:
            RESULT.write(**_plan_result(plan))
        return 0
    plan = plan.with_git(read_git(path, plan.commit) if plan.use_git else GitInfo(plan.commit))
    context = scan(path, plan.dockerfile, use_git=plan.use_git)
    check_limits(context)
    if as_json:
        RESULT.write(**_plan_result(plan), **_context_result(context))
        return 0
    output.heading(plan.title())
    if plan.branch_note:
        output.note(plan.branch_note)
    for entry in context.files:
        sys.stdout.write(f"{entry.size_bytes:>12}  {printable_path(entry.path)}\n")
    output.note(f"{context_text(context)}; Dockerfile: {context.dockerfile}")
    output.note(f"largest: {path_list([f'{e.path} ({size_text(e.size_bytes)})' for e in context.largest()])}")
    for note in context.notes:
        output.warn(note)
    output.note("dry run: nothing was sent")
    return 0


def _plan_result(plan: Plan) -> dict[str, Any]:
    return {
        "status": "dry_run",
        "exit_code": 0,
        "project": plan.project,
        "environment": plan.environment,
        "branch": plan.branch,
        "branch_note": plan.branch_note or None,
        "commit_sha": plan.git.commit_sha,
        "image": plan.image,
        "variables": sorted(plan.variables),
    }


def _context_result(context: Context) -> dict[str, Any]:
    return {
        "dockerfile": context.dockerfile,
        "ignore_file": context.ignore_file,
        "rule": context.rule,
        "bytes": context.size_bytes,
        "files": [{"path": entry.path, "bytes": entry.size_bytes} for entry in context.files],
        "notes": list(context.notes),
    }


def _check_directory(path: Path) -> None:
    """Check that the directory exists, before its content is checked."""
    try:
        is_directory = path.resolve(strict=True).is_dir()
    except FileNotFoundError:
        raise InputError(f"the directory {path} does not exist", code="context.not_found", field="path") from None
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"can't open {path}: {reason}", code="context.unreadable", field="path") from None
    if not is_directory:
        message = f"{path} is not a directory: name the directory of the app"
        raise InputError(message, code="context.no_directory", field="path")


def _refuse_source_options(ctx: click.Context) -> None:
    """Refuse build options together with an image that is already built."""
    given = [
        name
        for name in ("path", *_SOURCE_OPTIONS)
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        names = ", ".join("PATH" if name == "path" else f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"--image deploys a built image; omit {names}", code="usage", field="image")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
