"""`sealift ps`."""

import json
from collections.abc import Iterable

import click

from sealift.cli.format.deployment_text import instance_rows, replicas_now_text
from sealift.cli.format.tables import render_table
from sealift.cli.parsing.options import env_option, json_option, project_option
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.selection import MAX_CANDIDATES
from sealift.cli.session import find_environment, find_project, open_client, run
from sealift.ctrl.v1 import deployment_pb2

HEADER = ("INSTANCE", "REGION", "STATE", "AGE", "RESTARTS", "DEPLOYMENT", "", "REASON")


@click.command()
@project_option
@env_option
@json_option
@click.pass_obj
def ps(url: str | None, project: str | None, environment: str | None, as_json: bool) -> int:
    """List the instances that run in an environment now, those of the live deployment first.

    AGE is the time since the app was started last, RESTARTS how often it was started again by itself.
    """

    async def report() -> int:
        async with open_client(url) as client:
            found = await find_project(client, project_ref(project))
            place = await find_environment(client, found, environment_slug(environment))
            newest = await client.deployments(found.project_id, environment_slug=place.slug, limit=MAX_CANDIDATES)
        running = sorted((one for one in newest if _instances(one)), key=lambda one: not one.is_live)
        if as_json:
            _print_json(running)
            return 0
        rows = [row for one in running for row in instance_rows(one, _instances(one))]
        if not rows:
            click.echo(f"no instance runs in {found.slug} · {place.slug}; see: sealift ls", err=True)
            return 0
        click.echo(render_table(HEADER, rows, spare=("REGION", "RESTARTS", "DEPLOYMENT"), flexible="REASON"))
        for one in running:
            if one.is_live:
                click.echo(replicas_now_text(one), err=True)
        return 0

    return run(report)


def _instances(one: deployment_pb2.Deployment) -> list[deployment_pb2.Instance]:
    return [seen for seen in one.instances if seen.state != deployment_pb2.INSTANCE_STATE_STOPPED]


def _print_json(running: Iterable[deployment_pb2.Deployment]) -> None:
    from sealift.cli.format.message_json import message_to_dict

    for one in running:
        for seen in _instances(one):
            facts = {
                "deployment_id": one.deployment_id,
                "is_live": one.is_live,
                "replicas": one.replicas,
                **message_to_dict(seen),
            }
            click.echo(json.dumps(facts, ensure_ascii=False))
