"""`sealift build show`."""

import json
import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from sealift.cli.format.build_text import build_text, last_steps
from sealift.cli.format.text import clean, prose
from sealift.cli.format.timeline import BUILD_STEPS
from sealift.cli.output import open_output
from sealift.cli.parsing.options import json_option, project_option, wait_timeout_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.recorded import Recorded
from sealift.cli.session import find_build, open_client, run
from sealift.client.errors import ClientError, UnreachableError
from sealift.client.follow import follow_build_logs
from sealift.ctrl.v1 import build_pb2

if TYPE_CHECKING:
    from sealift.client.client import Client


@click.command()
@click.argument("build", required=False, type=TEXT)
@project_option
@click.option("--wait", "-w", is_flag=True, help="Wait for the outcome, as build does; the exit code is the outcome.")
@wait_timeout_option
@json_option
@click.pass_obj
def show(url: str | None, build: str | None, project: str | None, wait: bool, wait_timeout: int, as_json: bool) -> int:
    """Show BUILD (default: the latest of the project): status, image, steps.

    The build of a deployment can be named by the deployment's id, too. `sealift logs BUILD` prints the output.
    """

    async def report() -> int:
        async with open_client(url) as client:
            found = await find_build(client, build, project)
            steps = await _steps(client, found.build_id)
        if as_json:
            from sealift.cli.format.message_json import message_to_dict

            values = {
                **message_to_dict(found),
                "steps": None if steps is None else [message_to_dict(step) for step in steps],
            }
            click.echo(json.dumps(values, ensure_ascii=False))
        else:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            click.echo(build_text(found, steps or [], width))
        return 0

    async def follow() -> int:
        from sealift.cli.deploy.build_watch import BuildWatch

        began = time.monotonic()
        async with open_client(url) as client:
            found = await find_build(client, build, project)
            output = open_output(as_json=as_json, steps=BUILD_STEPS)
            try:
                output.created(Recorded.build(found.build_id))
                return await BuildWatch(client, output, began).follow(found.build_id, wait_timeout)
            finally:
                output.close()

    return run(follow if wait else report)


async def _steps(client: "Client", build_id: str) -> list[build_pb2.BuildStep] | None:
    """The steps; None, told on stderr, while the store of build logs is away: the rest is known without it."""
    try:
        return last_steps([e async for e in follow_build_logs(client, build_id, follow=False, steps_only=True)])
    except ClientError as error:
        if error.code == UnreachableError.default_code:
            raise
        click.echo(prose(clean(f"the steps can't be read: {error.message}")), err=True)
        return None
