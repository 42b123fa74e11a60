"""`sealift servers`."""

import sys

import click

from sealift.cli.errors import fail
from sealift.cli.parsing.options import json_option
from sealift.client.credentials import login_file
from sealift.client.errors import ClientError


@click.command()
@json_option
def servers(as_json: bool) -> int:
    """List the servers that you have logged in to, the default one first. Makes no calls."""
    try:
        logins = login_file().read()
    except ClientError as error:
        return fail(error)
    for number, one in enumerate(logins):
        if as_json:
            import json

            click.echo(json.dumps({"url": one.url, "is_default": number == 0}))
        else:
            click.echo(f"{one.url}  default" if number == 0 and sys.stdout.isatty() else one.url)
    if not logins and not as_json:
        click.echo("no logins; log in with: sealift login URL", err=True)
    return 0
