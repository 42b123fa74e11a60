"""Options that several commands share. Each names its environment variable in --help."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

project_option = click.option(
    "--project", "-p", envvar="SEALIFT_PROJECT", show_envvar=True, metavar="SLUG", help="Project, by slug or id."
)
env_option = click.option(
    "--env",
    "-e",
    "environment",
    envvar="SEALIFT_ENV",
    show_envvar=True,
    metavar="SLUG",
    help="Environment.  [default: production]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Data as JSON, one object per line.")
wait_timeout_option = click.option(
    "--wait-timeout",
    type=click.IntRange(1, 86_400),
    default=7_200,
    show_default=True,
    envvar="SEALIFT_WAIT_TIMEOUT",
    show_envvar=True,
    metavar="SECONDS",
    help="Stop waiting after this long; the deployment goes on.",
)
