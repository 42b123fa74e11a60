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
    help="Relative to PATH.  [default: Dockerfile]",
)
@click.option(
    "--build-arg", type=TEXT, multiple=True, metavar="NAME=VALUE", help="Build argument; not for secrets. Repeatable."
)
@click.option(
    "--secret",
    type=TEXT,
    multiple=True,
    metavar="id=NAME,env=VAR|src=FILE",
    help="Build secret for RUN --mount=type=secret, from a variable or a file. Repeatable.",
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
    help="Branch.  [default: git's, else the CI system's, else main]",
)
@click.option(
    "--commit",
    type=TEXT,
    envvar="SEALIFT_COMMIT",
    show_envvar=True,
    metavar="SHA",
    help="Commit.  [default: git's]",
)
@click.option(
    "--port",
    type=Number(1, 65_535),
    envvar="SEALIFT_PORT",
    show_envvar=True,
    metavar="NUMBER",
    help="Where the app listens; it is told as PORT.  [default: [run] port, else what it is found to listen on]",
)
@click.option(
    "--no-git",
    is_flag=True,
    envvar="SEALIFT_NO_GIT",
    show_envvar=True,
    help="Don't ask git: for the branch, the commit, and what to leave out.",
)
@click.option("--create", is_flag=True, help="Make the project if it is missing, and sealift.toml if none is named.")
@click.option("--detach", "-d", is_flag=True, help="Don't wait: print the deployment id once it is recorded.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON, one per line; the last is the result.")
@click.option(
    "--idempotency-key",
    type=TEXT,
    envvar="SEALIFT_IDEMPOTENCY_KEY",
    show_envvar=True,
    metavar="KEY",
    help="The same key with the same content makes one deployment only (24 h).",
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
    """Deploy the directory PATH (default: this one) and wait for the verdict.

    What belongs to the build context is decided by .dockerignore. stdout gets the address, stderr the rest. Settings
    are taken from options, then variables, then PATH/sealift.toml.
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
        project_named = project or _text(file.project)
        is_new = not project_named and not dry_run and not image
        if (is_new or create) and not image:
            refuse_without_dockerfile(path, dockerfile)
        if is_new:
            output.close()
            project_named = first_deploy.name_project(path, create=create)
            output, began = open_output(as_json=as_json), time.monotonic()
        plan = Plan(
            project=project_named or "-" if dry_run else checked_project(project_named),
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
        output.error(_with_what_is_there(error, path), code)
        return code
    finally:
        output.close()


def _with_what_is_there(error: ClientError, path: Path) -> ClientError:
    """The error; where a Dockerfile is missing, with what else lies there and what that says of one."""
    if not isinstance(error, InputError) or error.code != "context.no_dockerfile":
        return error
    found = detect(path)
    if not (said := found.lines()):
        return error
    what = error.message.partition("; ")[0] if found.dockerfiles else error.message  # they are named below
    return InputError("\n".join([what, *said]), code=error.code, field=error.field)


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
    """List the files that would be sent; the server is not asked."""
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
    """Whether there is a directory to deploy, before anything is said about what it lacks."""
    try:
        is_directory = path.resolve(strict=True).is_dir()
    except FileNotFoundError:
        raise InputError(f"there is no directory {path}", code="context.not_found", field="path") from None
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"can't go to {path}: {reason}", code="context.unreadable", field="path") from None
    if not is_directory:
        said = f"{path} is not a directory: name the one that holds the app"
        raise InputError(said, code="context.no_directory", field="path")


def _refuse_source_options(ctx: click.Context) -> None:
    """Options about a build say nothing about an image that is built already."""
    given = [
        name
        for name in ("path", *_SOURCE_OPTIONS)
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        names = ", ".join("PATH" if name == "path" else f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"--image deploys a built image; leave out {names}", code="usage", field="image")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
