"""Options shared by several commands. --help shows the environment variable of each."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sealift.cli.parsing.param_types import TEXT, Number

F = TypeVar("F", bound=Callable[..., Any])

project_option = click.option(
    "--project",
    "-p",
    type=TEXT,
    envvar="SEALIFT_PROJECT",
    show_envvar=True,
    metavar="SLUG",
    help="Project slug or id.  [default: from sealift.toml]",
)


def _env_option(text: str) -> Callable[[F], F]:
    return click.option(
        "--env", "-e", "environment", type=TEXT, envvar="SEALIFT_ENV", show_envvar=True, metavar="SLUG", help=text
    )


env_option = _env_option("Environment.  [default: from sealift.toml, else production]")
any_env_option = _env_option("Only this environment.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Skip the confirmation.")


def _all_of(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one, in their order."""

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


# How a directory is built.
BUILD_OPTIONS = ("dockerfile", "base_image", "build_arg", "secret", "target", "platform", "no_cache", "no_git")
build_options = _all_of(
    click.option(
        "--dockerfile",
        "-f",
        type=TEXT,
        envvar="SEALIFT_DOCKERFILE",
        show_envvar=True,
        metavar="FILE",
        help="Dockerfile, relative to PATH.  [default: Dockerfile, else one is generated]",
    ),
    click.option(
        "--base-image",
        type=TEXT,
        envvar="SEALIFT_BASE_IMAGE",
        show_envvar=True,
        metavar="IMAGE",
        help="Image that a generated Dockerfile starts from.  [default: [build] base_..., else by language]",
    ),
    click.option(
        "--build-arg",
        type=TEXT,
        multiple=True,
        metavar="NAME=VALUE",
        help="Build argument; not for secrets. Repeatable.",
    ),
    click.option(
        "--secret",
        type=TEXT,
        multiple=True,
        metavar="id=NAME,env=VAR|src=FILE",
        help="Build secret for RUN --mount=type=secret, from a variable or file. Repeatable.",
    ),
    click.option("--target", type=TEXT, metavar="STAGE", help="Stage of the Dockerfile to build.  [default: the last]"),
    click.option(
        "--platform",
        type=TEXT,
        envvar="SEALIFT_PLATFORM",
        show_envvar=True,
        metavar="OS/ARCH",
        help="linux/amd64 or linux/arm64.  [default: [build] platform, else the server's]",
    ),
    click.option("--no-cache", is_flag=True, help="Run every step, even if nothing has changed."),
    click.option(
        "--no-git",
        is_flag=True,
        envvar="SEALIFT_NO_GIT",
        show_envvar=True,
        help="Ignore git: its branch, commit and ignored files.",
    ),
)
create_option = click.option(
    "--create", is_flag=True, help="Create the project if it is missing, and sealift.toml if no project is named."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Print what would be sent, without sending it.")
event_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print events as JSON, one per line; the last one is the result."
)


def detach_option(what: str) -> Callable[[F], F]:
    """`--detach`; `what`: whose id is printed."""
    return click.option(
        "--detach", "-d", is_flag=True, help=f"Don't wait; print the {what} id once the server has recorded it."
    )


def idempotency_option(what: str) -> Callable[[F], F]:
    """`--idempotency-key`; `what`: of which there is only one."""
    return click.option(
        "--idempotency-key",
        type=TEXT,
        envvar="SEALIFT_IDEMPOTENCY_KEY",
        show_envvar=True,
        metavar="KEY",
        help=f"Within 24 h, the same key with the same content creates one {what} only.",
    )


wait_timeout_option = click.option(
    "--wait-timeout",
    type=Number(1, 86_400),
    default=7_200,
    show_default=True,
    envvar="SEALIFT_WAIT_TIMEOUT",
    show_envvar=True,
    metavar="SECONDS",
    help="Stop waiting after this time; the work continues.",
)
