"""`sealift version`."""

import click

from sealift import __version__
from sealift.cli.parsing.options import json_option


@click.command()
@json_option
@click.option("--client", "client_only", is_flag=True, help="Only the CLI's version, without calling the server.")
@click.pass_obj
def version(url: str | None, as_json: bool, client_only: bool) -> int:
    """Show the versions of the CLI and the server."""
    import json

    values = {"client": __version__}
    if client_only:
        click.echo(json.dumps(values) if as_json else f"client  {__version__}")
        return 0
    from sealift.cli.session import open_client, run

    async def ask() -> int:
        if not as_json:
            click.echo(f"client  {__version__}")
        async with open_client(url) as client:
            info = await client.server_info()
        server = {
            "server": info.version,
            "revision": info.revision,
            "installation_id": info.installation_id,
            "apex_domain": info.apex_domain,
        }
        if as_json:
            click.echo(json.dumps({**values, **server}))
        else:
            revision = f" ({info.revision})" if info.revision not in ("", "unknown") else ""
            click.echo(f"server  {info.version}{revision}, {info.build_backend} builds, {info.apex_domain}")
        return 0

    return run(ask)
