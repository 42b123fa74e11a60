"""Statements about uploads of build contexts, for object stores that can't bind a URL to a content.

There, each upload has a random path of its own, and its archive is copied to the path of its context once the worker
knows that it is the announced one. Until then any number of uploads may claim to be the same context.
"""

import secrets

from sqlalchemy import Connection, delete, select

from pkg.builds.model import IN_FLIGHT
from pkg.builds.tables import builds, uploads

FOLDER = "uploads"
KEEP_MS = 24 * 3600 * 1000  # after it, an upload that no build waits for is abandoned
MAX_PER_CONTEXT = 8


def announce(connection: Connection, *, context_path: str, project_id: str, now: int, ttl_ms: int) -> str:
    """A new path for an upload that can be made within `ttl_ms`. Of one context, the newest MAX_PER_CONTEXT count."""
    path = f"{FOLDER}/{project_id}/{secrets.token_hex(16)}.tar.gz"
    connection.execute(
        uploads.insert().values(
            path=path, context_path=context_path, created_at=now, expires_at=now + max(ttl_ms, KEEP_MS)
        )
    )
    for old in of_context(connection, context_path)[MAX_PER_CONTEXT:]:
        forget(connection, old)
    return path


def of_context(connection: Connection, context_path: str) -> list[str]:
    """The paths of uploads that claim to be this context, the newest first."""
    query = select(uploads.c.path).where(uploads.c.context_path == context_path)
    ordered = query.order_by(uploads.c.created_at.desc(), uploads.c.path)
    return [str(row.path) for row in connection.execute(ordered)]


def forget(connection: Connection, path: str) -> None:
    """Deletes the row; the object is deleted after it. Idempotent."""
    connection.execute(delete(uploads).where(uploads.c.path == path))


def forget_of_context(connection: Connection, context_path: str) -> list[str]:
    """Deletes the rows of all uploads of a context; returns the paths of their objects, to delete."""
    found = of_context(connection, context_path)
    connection.execute(delete(uploads).where(uploads.c.context_path == context_path))
    return found


def forget_abandoned(connection: Connection, now: int, limit: int = 100) -> list[str]:
    """Deletes expired uploads that no build in flight waits for; returns the paths of their objects, to delete."""
    in_use = select(builds.c.build_context_path).where(builds.c.status.in_(IN_FLIGHT))
    query = select(uploads.c.path).where(uploads.c.expires_at < now, uploads.c.context_path.not_in(in_use))
    forgotten = [str(row.path) for row in connection.execute(query.order_by(uploads.c.expires_at).limit(limit))]
    connection.execute(delete(uploads).where(uploads.c.path.in_(forgotten)))
    return forgotten


def paths(connection: Connection) -> set[str]:
    """Every path that was announced and has not been forgotten."""
    return {str(row.path) for row in connection.execute(select(uploads.c.path))}
