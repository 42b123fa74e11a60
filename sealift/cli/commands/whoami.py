"""`sealift whoami`."""

import click

from sealift.cli.format.enum_names import role_name
from sealift.cli.format.key_text import expiry_text
from sealift.cli.format.text import clean
from sealift.cli.parsing.options import json_option
from sealift.cli.session import open_client, run


@click.command()
@json_option
@click.pass_obj
def whoami(url: str | None, as_json: bool) -> int:
    """Show the server that commands use, and whose key they send."""

    async def ask() -> int:
        async with open_client(url) as client:
            found = await client.current_key()
            server = client.endpoint.url
        key = found.key
        if as_json:
            import json

            values = {
                "url": server,
                "server_version": found.server_version,
                "installation_id": found.installation_id,
                "workspace_id": found.workspace_id,
                "workspace": found.workspace_slug,
                "key_id": key.key_id,
                "key_name": key.name,
                "role": role_name(key.role),
                "region": key.region,
                "expires_at": key.expires_at,
            }
            click.echo(json.dumps(values, ensure_ascii=False))
            return 0
        role = role_name(key.role) + (f" of region {clean(key.region)}" if key.region else "")
        for name, value in (
            ("server", f"{server} ({clean(found.server_version)})"),
            ("workspace", clean(found.workspace_slug)),
            ("key", f"{clean(key.name)} ({key.key_id})"),
            ("role", role),
            ("validity", expiry_text(key.expires_at)),
        ):
            click.echo(f"{name:<11} {value}")
        return 0

    return run(ask)
