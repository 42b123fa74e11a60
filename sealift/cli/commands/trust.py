"""`sealift trust`."""

import json
import os
from pathlib import Path

import click

from sealift.cli.format.certificate_text import trust_text
from sealift.cli.parsing.options import json_option
from sealift.cli.session import open_client, run
from sealift.client import private_files
from sealift.client.errors import ClientError, PreconditionError
from sealift.client.logins import config_directory
from sealift.ctrl.v1 import acme_pb2


@click.command()
@click.option("--pem", "as_pem", is_flag=True, help="Print the authority's certificate and nothing else.")
@json_option
@click.pass_obj
def trust(url: str | None, as_pem: bool, as_json: bool) -> int:
    """Show how to trust the certificate authority of an installation that issues its own certificates.

    Its certificate is written to ~/.config/sealift, or printed with --pem. Nothing else on this machine is changed.
    """
    if as_pem and as_json:
        raise click.UsageError("--pem and --json exclude each other")

    async def report() -> int:
        async with open_client(url) as client:
            found, server = await client.certificate_authority(), client.endpoint.url
        if not found.certificate_pem:
            raise PreconditionError(
                "The server has no certificate authority of its own: its certificates are of a public one, or it "
                "serves plain HTTP (see: sealift certificates).",
                code="certificate.no_authority",
            )
        if as_pem:
            click.echo(found.certificate_pem, nl=False)
            return 0
        path = _write(found)
        if as_json:
            values = {"path": path, "fingerprint_sha256": found.fingerprint_sha256}
            more = {"common_name": found.common_name, "not_after": found.not_after}
            click.echo(json.dumps({**values, **more, "certificate_pem": found.certificate_pem}, ensure_ascii=False))
        else:
            click.echo(trust_text(found, path, server))
        return 0

    return run(report)


def _write(found: acme_pb2.GetCertificateAuthorityResponse) -> str:
    """Writes the certificate to a file of this user; its path."""
    folder = config_directory(os.environ, Path.home())
    assert folder is not None
    path = folder / f"ca-{found.fingerprint_sha256[:8]}.pem"
    try:
        private_files.make_directory(folder)
        private_files.replace(path, found.certificate_pem.encode())
    except OSError as error:
        raise ClientError(
            f"can't write {path}: {error.strerror or error}; print the certificate with: sealift trust --pem",
            code="certificate.no_file",
        ) from error
    return str(path)
