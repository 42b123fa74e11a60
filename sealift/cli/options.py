"""Options shared by several commands. --help shows the environment variable of each."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sealift.cli.param_types import TEXT, Number

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
wait_timeout_option = click.option(
    "--wait-timeout",
    type=Number(1, 86_400),
    default=7_200,
    show_default=True,
    envvar="SEALIFT_WAIT_TIMEOUT",
    show_envvar=True,
    metavar="SECONDS",
    help="Stop waiting after this time; the deployment continues.",
)
