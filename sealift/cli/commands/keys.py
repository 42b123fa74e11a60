"""`sealift keys`."""

import json

import click

from sealift.cli.format.enum_names import role_name
from sealift.cli.format.tables import render_table
from sealift.cli.format.text import ago, clean
from sealift.cli.parsing.command_groups import CommandGroup, is_called_alone
from sealift.cli.parsing.options import json_option
from sealift.cli.parsing.param_types import TEXT, Number
from sealift.cli.session import open_client, run
from sealift.ctrl.v1 import key_pb2

ROLES = {
    "admin": key_pb2.KEY_ROLE_ADMIN,
    "deploy": key_pb2.KEY_ROLE_DEPLOY,
    "cluster": key_pb2.KEY_ROLE_CLUSTER,
}


@click.group(cls=CommandGroup, invoke_without_command=True)
@json_option
@click.pass_context
def keys(ctx: click.Context, as_json: bool) -> int:
    """List the workspace's access keys."""
    return _show(ctx.obj, as_json=as_json) if is_called_alone(ctx) else 0


@keys.command("ls")
@json_option
@click.pass_obj
def list_keys(url: str | None, as_json: bool) -> int:
    """List the workspace's access keys."""
    return _show(url, as_json=as_json)


def _show(url: str | None, *, as_json: bool) -> int:
    async def report() -> int:
        async with open_client(url) as client:
            found = await client.keys()
        if as_json:
            for one in found:
                values = {"key_id": one.key_id, "name": one.name, "role": role_name(one.role), "region": one.region}
                times = {"created_at": one.created_at, "expires_at": one.expires_at, "revoked_at": one.revoked_at}
                click.echo(json.dumps({**values, **times}, ensure_ascii=False))
            return 0
        rows = [
            (
                one.key_id,
                clean(one.name),
                role_name(one.role),
                f"{clean(one.hint)}…",
                ago(one.created_at),
                "revoked" if one.revoked_at else f"used {ago(one.last_used_at)} ago" if one.last_used_at else "unused",
            )
            for one in found
        ]
        click.echo(render_table(("ID", "NAME", "ROLE", "KEY", "AGE", ""), rows, spare=("KEY", "AGE"), flexible="NAME"))
        return 0

    return run(report)


@keys.command("create")
@click.argument("name", type=TEXT)
@click.option(
    "--role", type=click.Choice(list(ROLES)), default="deploy", show_default=True, help="Permissions of the key."
)
@click.option("--region", type=TEXT, help="Region; required for a cluster key.")
@click.option("--expires-in", type=Number(60, 315_360_000), metavar="SECONDS", help="Lifetime.  [default: unlimited]")
@click.pass_context
def create(ctx: click.Context, name: str, role: str, region: str | None, expires_in: int | None) -> int:
    """Create a key and print it. It can't be shown again."""
    if (role == "cluster") != bool(region):
        raise click.UsageError("--region and --role cluster require each other: a cluster key is for one region")

    async def make() -> int:
        async with open_client(ctx.obj) as client:
            made = await client.create_key(name, ROLES[role], region=region, expires_in_s=expires_in)
        click.echo(f"key {made.key.key_id} ({role}); it can't be shown again", err=True)
        click.echo(made.secret)
        return 0

    return run(make)


@keys.command("revoke")
@click.argument("key_id", type=TEXT)
@click.pass_context
def revoke(ctx: click.Context, key_id: str) -> int:
    """Revoke a key immediately. Idempotent."""

    async def end() -> int:
        async with open_client(ctx.obj) as client:
            ended = await client.revoke_key(key_id)
        click.echo(f"key {ended.key_id} is revoked", err=True)
        return 0

    return run(end)
