"""`sealift builds`."""

import json
import time

import click

from sealift.cli.format.enum_names import build_status_name
from sealift.cli.format.image_text import DIGEST_CHARS
from sealift.cli.format.tables import render_table
from sealift.cli.format.text import ago, clean, seconds
from sealift.cli.parsing.options import json_option, project_option
from sealift.cli.parsing.param_types import Number
from sealift.cli.project.project_file import project_ref
from sealift.cli.session import find_project, open_client, run
from sealift.ctrl.v1 import build_pb2

HEADER = ("BUILD", "STATUS", "AGE", "TOOK", "PLATFORM", "IMAGE", "DEPLOYMENT")


@click.command()
@project_option
@click.option("--limit", "-n", type=Number(1, 1000), default=20, show_default=True, help="Maximum number of builds.")
@json_option
@click.pass_obj
def builds(url: str | None, project: str | None, limit: int, as_json: bool) -> int:
    """List the project's builds, newest first, with and without a deployment.

    `sealift build show BUILD` shows one, `sealift logs BUILD` prints its output, `sealift deploy --build BUILD` deploys
    it.
    """

    async def report() -> int:
        async with open_client(url) as client:
            found = await find_project(client, project_ref(project))
            listed = await client.builds(found.project_id, limit=limit)
        if as_json:
            from sealift.cli.format.message_json import message_to_dict

            for one in listed:
                click.echo(json.dumps(message_to_dict(one), ensure_ascii=False))
            return 0
        rows = [
            (
                one.build_id,
                build_status_name(one.status),
                ago(one.created_at),
                _took(one),
                clean(one.platform) or "-",
                _image(one),
                one.deployment_id or "-",
            )
            for one in listed
        ]
        if rows:
            click.echo(render_table(HEADER, rows, spare=("PLATFORM", "DEPLOYMENT"), flexible="IMAGE"))
        else:
            click.echo(f"project {found.slug!r} has no builds yet; create one with: sealift build", err=True)
        return 0

    return run(report)


def _took(build: build_pb2.Build) -> str:
    """How long it ran, so far if it runs."""
    if not build.started_at:
        return "-"
    return seconds((build.ended_at or time.time() * 1000) - build.started_at)


def _image(build: build_pb2.Build) -> str:
    """The beginning of the image's digest, as Docker lists ids; "deleted" if it was made and is gone."""
    if build.status != build_pb2.BUILD_STATUS_SUCCEEDED:
        return "-"
    return clean(build.image_ref.rpartition("sha256:")[2][:DIGEST_CHARS]) if build.image_ref else "deleted"
