"""Statements about build contexts: which archives of a project were announced, and which were found good."""

from sqlalchemy import Connection, delete, select, update

from pkg.builds.model import IN_FLIGHT, Context
from pkg.builds.tables import builds, contexts
from pkg.db import rows, upsert

FOLDER = "contexts"


def path_of(project_id: str, sha256: str) -> str:
    """Where the archive of this content lies in the object store."""
    return f"{FOLDER}/{project_id}/{sha256}.tar.gz"


def sha256_of(path: str) -> str:
    """The hash of the content in a path that `path` made, in hex."""
    return path.rpartition("/")[2].partition(".")[0]


def announce(
    connection: Connection, *, project_id: str, sha256: str, size_bytes: int, now: int, expires_at: int
) -> Context:
    """Records that this archive may be uploaded, or extends its life. Idempotent."""
    path = path_of(project_id, sha256)
    statement = upsert.insert(connection, contexts).values(
        path=path, project_id=project_id, sha256=sha256, size_bytes=size_bytes, created_at=now, expires_at=expires_at
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["path"], set_={"expires_at": expires_at, "size_bytes": size_bytes}
        )
    )
    found = get(connection, path)
    assert found is not None
    return found


def get(connection: Connection, path: str) -> Context | None:
    """The context, or None when it was never announced."""
    return rows.one(Context, connection.execute(select(contexts).where(contexts.c.path == path)))


def paths(connection: Connection) -> set[str]:
    """Every path that was announced and has not been forgotten."""
    return {str(row.path) for row in connection.execute(select(contexts.c.path))}


def mark_checked(connection: Connection, path: str, now: int) -> None:
    """Remembers that the archive is good: it is content-addressed, so once is enough. Idempotent."""
    connection.execute(update(contexts).where(contexts.c.path == path).values(checked_at=now))


def forget_expired(connection: Connection, now: int, limit: int = 100) -> list[str]:
    """Deletes expired contexts that no build in flight needs; returns the paths of their archives, to delete."""
    in_use = select(builds.c.build_context_path).where(builds.c.status.in_(IN_FLIGHT))
    query = select(contexts.c.path).where(contexts.c.expires_at < now, contexts.c.path.not_in(in_use))
    forgotten = [str(row.path) for row in connection.execute(query.order_by(contexts.c.expires_at).limit(limit))]
    connection.execute(delete(contexts).where(contexts.c.path.in_(forgotten)))
    return forgotten
