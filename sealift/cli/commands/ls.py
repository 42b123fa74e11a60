"""`sealift ls`."""

import json

import click

from sealift.cli.format.enum_names import run_state_name, status_name
from sealift.cli.format.tables import cut, render_table
from sealift.cli.format.text import ago, clean
from sealift.cli.parsing.options import any_env_option, json_option, project_option
from sealift.cli.parsing.param_types import TEXT, Number
from sealift.cli.project.project_file import project_ref
from sealift.cli.session import find_project, open_client, run

HEADER = ("DEPLOYMENT", "STATUS", "RUN", "ENVIRONMENT", "BRANCH", "COMMIT", "AGE", "")
COMMIT_WIDTH = 40


@click.command()
@project_option
@any_env_option
@click.option("--branch", type=TEXT, metavar="NAME", help="Only this branch.")
@click.option(
    "--limit", "-n", type=Number(1, 1000), default=20, show_default=True, help="Maximum number of deployments."
)
@json_option
@click.pass_obj
def ls(
    url: str | None, project: str | None, environment: str | None, branch: str | None, limit: int, as_json: bool
) -> int:
    """List the project's deployments, newest first."""

    async def report() -> int:
        async with open_client(url) as client:
            found = await find_project(client, project_ref(project))
            deployments = await client.deployments(
                found.project_id, environment_slug=environment, branch=branch, limit=limit
            )
        if as_json:
            from sealift.cli.format.message_json import message_to_dict

            for one in deployments:
                click.echo(json.dumps(message_to_dict(one), ensure_ascii=False))
            return 0
        rows = []
        for one in deployments:
            commit = clean(f"{one.git_commit.commit_sha[:7]} {one.git_commit.commit_message}".strip())
            rows.append(
                (
                    one.deployment_id,
                    status_name(one.status),
                    run_state_name(one.run_state),
                    one.environment_slug,
                    clean(one.branch),
                    cut(commit or clean(one.docker_image), COMMIT_WIDTH),
                    ago(one.created_at),
                    "live" if one.is_live else "",
                )
            )
        if rows:
            click.echo(render_table(HEADER, rows, spare=("ENVIRONMENT", "BRANCH", "RUN"), flexible="COMMIT"))
        else:
            missing = "matching deployments" if environment or branch else "deployments yet"
            click.echo(f"project {found.slug!r} has no {missing}; create one with: sealift deploy", err=True)
        return 0

    return run(report)
