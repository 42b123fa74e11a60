"""Build contexts on their way in: announced, uploaded, kept for a while."""

from sqlalchemy import Connection

from pkg.builds import contexts
from pkg.builds.model import Context
from pkg.db import Database
from pkg.errors import NotFound
from pkg.storage import ObjectStore

UPLOAD_URL_TTL_S = 900
CONTEXT_TTL_MS = 7 * 24 * 3600 * 1000


async def uploaded(db: Database, store: ObjectStore, path: str, *, field: str) -> Context:
    """The context, whose archive lies in the store. Raises NotFound `context.not_found`."""
    known = await db.read(contexts.get, path)
    if known is None or await store.head(path) is None:
        raise NotFound(
            "context.not_found",
            f"No build context was uploaded to {path}: PUT the archive to GenerateUploadURL's upload_url first.",
            field=field,
        )
    return known


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
