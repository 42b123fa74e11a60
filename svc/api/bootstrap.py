"""What the database must hold before the first call: schema, installation, the operator's keys."""

from sqlalchemy import Connection

from pkg import installation
from pkg.auth import Role
from pkg.certificates import queries as certificates
from pkg.clock import Clock
from pkg.config import ConfigError, read_secret_text
from pkg.db import Database
from pkg.installation import Installation
from pkg.keys import queries, rules
from pkg.workspaces import queries as workspaces
from svc.api.config import ApiConfig, BootstrapKey


async def prepare(config: ApiConfig, db: Database, clock: Clock) -> Installation:
    """Migrates, makes the installation and its workspace, registers the bootstrap keys. Idempotent.

    While TLS is off, the regions get no certificate; what there is is kept for when it is on again.

    Raises:
        ConfigError: config.secret_file: a key file is missing, readable by others, or holds no key.
    """
    secrets = [(key, _secret(key)) for key in config.bootstrap_keys]
    await db.migrate()
    return await db.write(_prepare, config, secrets, clock())


def _prepare(
    connection: Connection, config: ApiConfig, secrets: list[tuple[BootstrapKey, str]], now: int
) -> Installation:
    ours = installation.ensure(connection, now)
    workspace_id = workspaces.ensure_default(connection, now, build_slots=config.limits.build_slots)
    for key, secret in secrets:
        queries.ensure(
            connection,
            secret=secret,
            workspace_id=workspace_id,
            name=key.name,
            role=Role(key.role),
            region=key.region or None,
            now=now,
        )
    put_certificates = certificates.release_certificates if config.tls.enabled else certificates.withhold_certificates
    put_certificates(connection, now)
    return ours


def _secret(key: BootstrapKey) -> str:
    secret = read_secret_text(key.file)
    if not rules.is_key(secret):
        raise ConfigError(
            "config.secret_file",
            f"the file {key.file} of bootstrap key {key.name!r} holds none: slk_ and 32 to 128 letters or digits",
        )
    return secret
