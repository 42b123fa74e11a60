"""What is recorded of a build, with or without a deployment: the uploaded context and sealed secrets."""

from sqlalchemy import Connection

from pkg.builds import contexts, uploads
from pkg.builds.model import Context, SealedSecret
from pkg.db import Database
from pkg.errors import NotFound
from pkg.intents import BuildIntent
from pkg.secrets import AssociatedData, Vault
from pkg.storage.port import ObjectStore
from svc.api.services.builds.validation import BuildParameters

CONTEXT_TTL_MS = 7 * 24 * 3600 * 1000


async def uploaded(db: Database, store: ObjectStore, path: str, *, field: str) -> Context:
    """The context whose archive is in the store, or an upload that claims to be it: the worker checks that.

    Raises:
        NotFound: `context.not_found`.
    """

    def read(connection: Connection) -> tuple[Context | None, list[str]]:
        return contexts.get(connection, path), uploads.of_context(connection, path)

    known, claims = await db.read(read)
    if known is not None:
        for stored_path in (path, *claims):
            if await store.head(stored_path) is not None:
                return known
    raise NotFound(
        "context.not_found",
        f"No build context was uploaded to {path}: PUT the archive to GenerateUploadURL's upload_url first.",
        field=field,
    )


def extend(connection: Connection, context: Context, now: int) -> None:
    """Keeps the context for another 7 days. Idempotent."""
    contexts.announce(
        connection,
        project_id=context.project_id,
        sha256=context.sha256,
        size_bytes=context.size_bytes,
        now=now,
        expires_at=now + CONTEXT_TTL_MS,
    )


def build_intent(parameters: BuildParameters, build_id: str, vault: Vault) -> BuildIntent:
    """The build as it is stored. Its secrets have a data key of their own, deleted with them at the build's end."""
    data_key = vault.new_data_key() if parameters.secrets else b""
    return BuildIntent(
        build_context_path=parameters.build_context_path,
        dockerfile_path=parameters.dockerfile_path,
        target=parameters.target,
        platform=parameters.platform,
        build_args=parameters.build_args,
        no_cache=parameters.no_cache,
        secrets=tuple(
            SealedSecret(
                build_id=build_id,
                secret_id=secret_id,
                data_key=data_key,
                sealed=vault.seal(data_key, value, AssociatedData.build_secret(build_id, secret_id)),
            )
            for secret_id, value in parameters.secrets.items()
        ),
    )
