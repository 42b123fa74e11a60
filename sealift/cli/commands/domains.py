"""`sealift domains`."""

import json
from collections.abc import Sequence

import click

from sealift.cli.domain_wait import wait_until_active
from sealift.cli.errors import fail
from sealift.cli.format.domain_text import domain_text, removal_text, status_text
from sealift.cli.format.message_json import message_to_dict
from sealift.cli.format.tables import render_table
from sealift.cli.format.text import ago, clean
from sealift.cli.parsing.command_groups import CommandGroup, is_called_alone
from sealift.cli.parsing.options import (
    any_env_option,
    env_option,
    json_option,
    project_option,
    wait_timeout_option,
    yes_option,
)
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.project.project_file import environment_slug, project_ref
from sealift.cli.selection import confirm, run_with_client
from sealift.cli.session import find_environment, find_project, open_client, run
from sealift.client.client import Client
from sealift.client.errors import ClientError
from sealift.ctrl.v1 import domain_pb2

HEADER = ("DOMAIN", "ENVIRONMENT", "STATUS", "AGE", "")

_no_wait_option = click.option("--no-wait", is_flag=True, help="Don't wait until the domain is active.")


@click.group(cls=CommandGroup, invoke_without_command=True)
@project_option
@any_env_option
@json_option
@click.pass_context
def domains(ctx: click.Context, project: str | None, environment: str | None, as_json: bool) -> int:
    """Domains of your own that lead to the app. Without a command: list those of the project."""
    return _list(ctx.obj, project, environment, as_json=as_json) if is_called_alone(ctx) else 0


@domains.command("ls")
@project_option
@any_env_option
@json_option
@click.pass_obj
def list_domains(url: str | None, project: str | None, environment: str | None, as_json: bool) -> int:
    """List the domains of the project, and what is wrong with them."""
    return _list(url, project, environment, as_json=as_json)


def _list(url: str | None, project: str | None, environment: str | None, *, as_json: bool) -> int:
    async def report() -> int:
        async with open_client(url) as client:
            place = await find_project(client, project_ref(project))
            only = (await find_environment(client, place, environment)).environment_id if environment else None
            found = [one async for one in client.domains(place.project_id, environment_id=only)]
        if as_json:
            for one in found:
                click.echo(json.dumps(message_to_dict(one), ensure_ascii=False))
        elif found:
            spare = ("AGE", "ENVIRONMENT") if len({one.environment_id for one in found}) == 1 else ("AGE",)
            click.echo(render_table(HEADER, [_row(one) for one in found], spare=spare))
        else:
            click.echo(f"{place.slug} has no domains; add one with: sealift domains add www.example.com", err=True)
        return 0

    return run(report)


def _row(domain: domain_pb2.Domain) -> Sequence[str]:
    problems = [clean(text) for text in (domain.reason, *domain.warnings) if text]
    return (
        clean(domain.unicode_hostname),
        clean(domain.environment_slug),
        status_text(domain),
        ago(domain.created_at),
        " ".join(problems),
    )


@domains.command("add")
@click.argument("domain", type=TEXT)
@project_option
@env_option
@_no_wait_option
@wait_timeout_option
@json_option
@click.pass_obj
def add(
    url: str | None,
    domain: str,
    project: str | None,
    environment: str | None,
    no_wait: bool,
    wait_timeout: int,
    as_json: bool,
) -> int:
    """Add DOMAIN to the environment, print the DNS records to set, and wait until it leads here.

    Ctrl-C ends the waiting only: the server goes on asking DNS, for two weeks. A domain that is there already is shown
    again.

    \b
    sealift domains add www.example.com
    sealift domains add example.com --env staging --no-wait
    """  # noqa: D301 - click needs the character \b

    async def make() -> int:
        async with open_client(url) as client:
            place = await find_project(client, project_ref(project))
            target = await find_environment(client, place, environment_slug(environment))
            added = await client.add_domain(target.environment_id, domain)
            return await wait_until_active(client, added, 0 if no_wait else wait_timeout, as_json=as_json)

    return run(make)


@domains.command("show")
@click.argument("domain", type=TEXT)
@json_option
@click.pass_obj
def show(url: str | None, domain: str, as_json: bool) -> int:
    """Show DOMAIN: the DNS records that it needs, and what DNS says."""

    async def report() -> int:
        async with open_client(url) as client:
            found = await client.domain(domain)
        if as_json:
            click.echo(json.dumps(message_to_dict(found), ensure_ascii=False))
        else:
            click.echo(domain_text(found))
        return 0

    return run(report)


@domains.command("verify")
@click.argument("domain", type=TEXT)
@_no_wait_option
@wait_timeout_option
@json_option
@click.pass_obj
def verify(url: str | None, domain: str, no_wait: bool, wait_timeout: int, as_json: bool) -> int:
    """Ask DNS about DOMAIN now, and wait until it is active."""

    async def ask() -> int:
        async with open_client(url) as client:
            before = await client.domain(domain)
            found = await client.verify_domain(before.domain_id)
            return await wait_until_active(
                client, found, 0 if no_wait else wait_timeout, after=before.checked_at, as_json=as_json
            )

    return run(ask)


@domains.command("rm")
@click.argument("domain", type=TEXT)
@yes_option
@json_option
@click.pass_obj
def remove(url: str | None, domain: str, yes: bool, as_json: bool) -> int:
    """Remove DOMAIN: nothing answers there any more. Its DNS records can be removed afterwards."""
    found: list[domain_pb2.Domain] = []

    async def find(client: Client) -> None:
        found.append(await client.domain(domain))

    try:
        run_with_client(url, find)
        confirm(removal_text(found[0]), yes=yes)
    except ClientError as error:
        return fail(error)

    async def end() -> int:
        async with open_client(url) as client:
            await client.remove_domain(found[0].domain_id)
        if as_json:
            click.echo(json.dumps(message_to_dict(found[0]), ensure_ascii=False))
        else:
            click.echo(f"{clean(found[0].unicode_hostname)} is removed; its DNS records can be removed, too", err=True)
        return 0

    return run(end)
