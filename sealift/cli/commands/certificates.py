"""`sealift certificates`."""

import json

import click

from sealift.cli.format.certificate_text import (
    certificate_text,
    expiry_day,
    issuer_text,
    names_text,
    note_text,
    state_text,
)
from sealift.cli.format.message_json import message_to_dict
from sealift.cli.format.tables import render_table
from sealift.cli.format.text import clean, prose
from sealift.cli.parsing.command_groups import CommandGroup, is_called_alone
from sealift.cli.parsing.options import json_option
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.session import open_client, run

HEADER = ("NAMES", "STATE", "ISSUER", "EXPIRES", "")


@click.group(cls=CommandGroup, invoke_without_command=True)
@json_option
@click.pass_context
def certificates(ctx: click.Context, as_json: bool) -> int:
    """TLS certificates. Without a command: list them, and say which names have none."""
    return _list(ctx.obj, as_json=as_json) if is_called_alone(ctx) else 0


@certificates.command("ls")
@json_option
@click.pass_obj
def list_certificates(url: str | None, as_json: bool) -> int:
    """List the certificates, and say which names have none."""
    return _list(url, as_json=as_json)


def _list(url: str | None, *, as_json: bool) -> int:
    async def report() -> int:
        async with open_client(url) as client:
            found, notices = await client.certificates()
        if as_json:
            for one in found:
                click.echo(json.dumps(message_to_dict(one), ensure_ascii=False))
        elif found:
            rows = [
                (names_text(one), state_text(one), issuer_text(one), expiry_day(one), note_text(one)) for one in found
            ]
            click.echo(render_table(HEADER, rows, spare=("ISSUER",)))
        for notice in notices:
            click.echo(prose(clean(notice)), err=True)
        return 0

    return run(report)


@certificates.command("show")
@click.argument("name", type=TEXT)
@json_option
@click.pass_obj
def show(url: str | None, name: str, as_json: bool) -> int:
    """Show the certificate NAME, or the one that covers the hostname NAME, and its last orders."""

    async def report() -> int:
        async with open_client(url) as client:
            found = await client.certificate(name)
        if as_json:
            orders = [message_to_dict(order) for order in found.orders]
            values = {**message_to_dict(found.certificate), "orders": orders}
            click.echo(json.dumps(values, ensure_ascii=False))
        else:
            click.echo(certificate_text(found))
        return 0

    return run(report)


@certificates.command("retry")
@click.argument("name", type=TEXT)
@click.pass_obj
def retry(url: str | None, name: str) -> int:
    """Order a certificate for NAME now: after a failure, or in the place of one that was revoked."""

    async def ask() -> int:
        async with open_client(url) as client:
            ordered = await client.retry_certificate(name)
        what = "is being ordered already" if ordered.is_ordered else "is ordered now"
        click.echo(f"{clean(ordered.name)} {what}; see: sealift certificates show {clean(ordered.name)}", err=True)
        return 0

    return run(ask)
