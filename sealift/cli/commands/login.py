"""`sealift login`."""

import sys
from pathlib import Path

import click

from sealift.cli.errors import fail
from sealift.cli.format.enum_names import role_name
from sealift.cli.format.key_text import expiry_text
from sealift.cli.format.text import clean, prose
from sealift.cli.parsing.param_types import TEXT
from sealift.cli.session import run, warn_if_unencrypted
from sealift.client.client import Client
from sealift.client.credentials import MAX_KEY_BYTES, Endpoint, checked_key, checked_url, login_file
from sealift.client.errors import AuthError, ClientError, ServerError
from sealift.client.logins import Login
from sealift.ctrl.v1 import key_pb2


@click.command()
@click.argument("server", required=False, metavar="[URL]", type=TEXT)
@click.option(
    "--ca-file",
    type=TEXT,
    envvar="SEALIFT_CA_FILE",
    show_envvar=True,
    metavar="FILE",
    help="Certificates (PEM) of the authority that vouches for this server, stored with the login.",
)
@click.pass_obj
def login(url: str | None, server: str | None, ca_file: str | None) -> int:
    """Log in to the server at URL (default: the last login), which is then the default of all commands.

    The access key is read from stdin, or asked for without echo. It is tried, then stored in a file that only you can
    read (~/.config/sealift/servers.json); each server has its own. With an empty line, the stored key of that server is
    kept: so one changes between servers.
    """
    try:
        endpoint = _endpoint(server or url, ca_file)
    except ClientError as error:
        return fail(error)
    warn_if_unencrypted(endpoint)

    async def enter() -> int:
        async with Client(endpoint) as client:
            key = await _current_key(client)
        if key.role == key_pb2.KEY_ROLE_CLUSTER:
            raise AuthError(
                f"the key {clean(key.name)!r} is that of krane in region {clean(key.region)!r}, not for people; create "
                "one with: sealift keys create NAME",
                code="auth.role",
            )
        login_file().put(Login(endpoint.url, endpoint.key or "", endpoint.ca_certificates))
        whose = f" as {clean(key.name)!r} ({role_name(key.role)}, {expiry_text(key.expires_at)})" if key.key_id else ""
        click.echo(prose(f"logged in to {endpoint.url}{whose}; it is now the default server"), err=True)
        return 0

    return run(enter)


def _endpoint(named: str | None, ca_file: str | None) -> Endpoint:
    """What to try: the server, the key that the user gives, and the authorities."""
    from sealift.client.trust import read_ca_file

    logins = login_file()
    last = next(iter(logins.read()), None)
    if not named and last is None:
        raise click.UsageError("URL is required: the address of the server, e.g. https://deploy.example.com")
    address = checked_url(named or (last.url if last else ""), "URL")
    stored = logins.find(address)
    certificates = read_ca_file(Path(ca_file).expanduser(), "--ca-file") if ca_file else ""
    given = _read_key(str(address), has_stored=stored is not None)
    if not given and stored is None:
        raise AuthError(
            "no key was given: pass one on stdin, or answer the prompt. A new one for you is made on the server with: "
            "sealift keys create NAME",
            code="auth.no_key",
        )
    key = checked_key(given, "what was given") if given else stored.key if stored else ""
    return Endpoint(str(address), key, certificates or (stored.ca_certificates if stored else ""))


def _read_key(server: str, *, has_stored: bool) -> str:
    """What the user gives as the key, "" for nothing."""
    if sys.stdin is None:
        return ""
    if not sys.stdin.isatty():
        return sys.stdin.readline(MAX_KEY_BYTES + 1).strip()
    kept = " (empty: the stored one)" if has_stored else ""
    answer: str = click.prompt(
        f"Access key for {server}{kept}", default="", show_default=False, hide_input=True, err=True
    )
    return answer.strip()


async def _current_key(client: Client) -> key_pb2.Key:
    """The key; without an id if the server is too old to say."""
    try:
        return (await client.current_key()).key
    except ServerError as error:
        if error.code != ServerError.default_code:
            raise
        await client.server_info()
        return key_pb2.Key()
