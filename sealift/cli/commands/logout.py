"""`sealift logout`."""

import click

from sealift.cli.errors import fail
from sealift.cli.format.text import prose
from sealift.cli.parsing.param_types import TEXT
from sealift.client.credentials import checked_url, login_file
from sealift.client.errors import ClientError, NotFoundError


@click.command()
@click.argument("server", required=False, metavar="[URL]", type=TEXT)
@click.pass_obj
def logout(url: str | None, server: str | None) -> int:
    """Delete the stored key for the server at URL (default: the last login).

    The key stays valid for whoever else has it; `sealift keys revoke` ends it.
    """
    try:
        logins = login_file()
        stored = logins.read()
        named = server or url or (stored[0].url if stored else "")
        if not named:
            raise NotFoundError("you are not logged in to any server", code="auth.not_logged_in")
        address = checked_url(named, "URL")
        if not logins.remove(address):
            known = f"; you are logged in to {', '.join(one.url for one in stored)}" if stored else ""
            raise NotFoundError(f"you are not logged in to {address}{known}", code="auth.not_logged_in")
        left = logins.read()
    except ClientError as error:
        return fail(error)
    rest = f"; the default server is now {left[0].url}" if left and stored[0].url == str(address) else ""
    click.echo(prose(f"logged out of {address}: its key is deleted here{rest}"), err=True)
    return 0
