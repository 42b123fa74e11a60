"""`sealift ps`."""

import json
import time
from collections.abc import Iterable

import click

from sealift.cli.format.deployment_text import instance_rows, processes_text, replicas_now_text
from sealift.cli.format.tables import render_table
from sealift.cli.format.text import clean, prose
from sealift.cli.format.usage_text import now_cells
from sealift.cli.parsing.options import env_option, json_option, project_option
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.selection import MAX_CANDIDATES
from sealift.cli.session import find_environment, find_project, open_client, run
from sealift.client.errors import ClientError
from sealift.ctrl.v1 import deployment_pb2, usage_pb2

SINCE_S = 120  # what is measured is of the last minute
HEADER = ("INSTANCE", "PROCESS", "REGION", "STATE", "AGE", "RESTARTS", "CPU", "MEMORY", "DEPLOYMENT", "", "REASON")


@click.command()
@project_option
@env_option
@json_option
@click.pass_obj
def ps(url: str | None, project: str | None, environment: str | None, as_json: bool) -> int:
    """List the instances that run in an environment now, those of the live deployment first.

    PROCESS is web for instances with routes, else the name in [processes]; where there are no others, it is left out.

    AGE is the time since the app was started last, RESTARTS how often it was started again by itself. CPU is in virtual
    CPUs and MEMORY without what the system can drop at once, as measured within the last minute; "-": not measured.
    """

    async def report() -> int:
        async with open_client(url) as client:
            found = await find_project(client, project_ref(project))
            place = await find_environment(client, found, environment_slug(environment))
            newest = await client.deployments(found.project_id, environment_slug=place.slug, limit=MAX_CANDIDATES)
            running = sorted((one for one in newest if _instances(one)), key=lambda one: not one.is_live)
            used, problem = usage_pb2.GetUsageResponse(), ""
            if running:
                since = int(time.time() - SINCE_S) * 1000
                try:
                    used = await client.usage(
                        found.project_id, since=since, environment_slug=place.slug, instances=True
                    )
                except ClientError as error:  # an older server, or one whose telemetry is away
                    problem = f"CPU and memory are unknown: {clean(error.message)}"
        if as_json:
            _print_json(running, used.instances)
            return 0
        cells = now_cells(used.instances)
        rows = [row for one in running for row in instance_rows(one, _instances(one), cells)]
        if not rows:
            click.echo(f"no instance runs in {found.slug} · {place.slug}; see: sealift ls", err=True)
            return 0
        header: tuple[str, ...] = HEADER
        if not any(seen.process for one in running for seen in _instances(one)):
            header, rows = _without_process(header), [_without_process(row) for row in rows]
        click.echo(render_table(header, rows, spare=("REGION", "RESTARTS", "PROCESS", "DEPLOYMENT"), flexible="REASON"))
        if problem:
            click.echo(prose(f"notice: {problem}"), err=True)
        for one in running:
            if one.is_live:
                for line in (replicas_now_text(one), *processes_text(one)):
                    click.echo(line, err=True)
        return 0

    return run(report)


def _without_process(row: tuple[str, ...]) -> tuple[str, ...]:
    return (row[0], *row[2:])


def _instances(one: deployment_pb2.Deployment) -> list[deployment_pb2.Instance]:
    return [seen for seen in one.instances if seen.state != deployment_pb2.INSTANCE_STATE_STOPPED]


def _print_json(running: Iterable[deployment_pb2.Deployment], measured: Iterable[usage_pb2.InstanceUsage]) -> None:
    from sealift.cli.format.message_json import message_to_dict

    now = {(one.deployment_id, one.instance_id): message_to_dict(one.now) for one in measured if one.HasField("now")}
    for one in running:
        for seen in _instances(one):
            facts = {
                "deployment_id": one.deployment_id,
                "is_live": one.is_live,
                "replicas": one.replicas,
                **message_to_dict(seen),
                "now": now.get((one.deployment_id, seen.instance_id)),
            }
            click.echo(json.dumps(facts, ensure_ascii=False))
