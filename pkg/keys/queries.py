"""Statements about access keys."""

from collections.abc import Mapping

from sqlalchemy import Connection, delete, insert, or_, select, update

from pkg.auth import Role
from pkg.db import rows
from pkg.ids import new_id
from pkg.keys.model import Key
from pkg.keys.rules import hash_of, hint_of
from pkg.keys.tables import keys

ENDED_SHOWN_MS = 30 * 24 * 3600 * 1000


def add(
    connection: Connection,
    *,
    secret: str,
    workspace_id: str,
    name: str,
    role: Role,
    region: str | None,
    expires_at: int | None,
    now: int,
) -> Key:
    """Keeps the hash of a new key."""
    key = Key(
        id=new_id("key", now),
        workspace_id=workspace_id,
        name=name,
        role=role,
        region=region,
        hash=hash_of(secret),
        hint=hint_of(secret),
        created_at=now,
        expires_at=expires_at,
        revoked_at=None,
        last_used_at=None,
    )
    connection.execute(
        insert(keys).values(
            id=key.id,
            workspace_id=workspace_id,
            name=name,
            role=role,
            region=region,
            hash=key.hash,
            hint=key.hint,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return key


def ensure(
    connection: Connection, *, secret: str, workspace_id: str, name: str, role: Role, region: str | None, now: int
) -> Key:
    """Registers a key that the operator wrote into a file. Idempotent; name, role and region follow the configuration.

    A revoked key stays revoked.
    """
    found = by_hash(connection, hash_of(secret))
    if found is None:
        return add(
            connection,
            secret=secret,
            workspace_id=workspace_id,
            name=name,
            role=role,
            region=region,
            expires_at=None,
            now=now,
        )
    if (found.name, found.role, found.region) == (name, role, region):
        return found  # nothing is written: a start must work on a full disk
    connection.execute(update(keys).where(keys.c.id == found.id).values(name=name, role=role, region=region))
    known = get(connection, found.id)
    assert known is not None
    return known


def by_hash(connection: Connection, key_hash: str) -> Key | None:
    """The key of that hash, or None."""
    return rows.one(Key, connection.execute(select(keys).where(keys.c.hash == key_hash)))


def get(connection: Connection, key_id: str, *, workspace_id: str | None = None) -> Key | None:
    """The key, or None when it does not exist (in that workspace)."""
    query = select(keys).where(keys.c.id == key_id)
    if workspace_id is not None:
        query = query.where(keys.c.workspace_id == workspace_id)
    return rows.one(Key, connection.execute(query))


def shown(connection: Connection, workspace_id: str, now: int) -> list[Key]:
    """Newest first; revoked and expired ones for 30 days."""
    since = now - ENDED_SHOWN_MS
    query = (
        select(keys)
        .where(
            keys.c.workspace_id == workspace_id,
            or_(keys.c.revoked_at.is_(None), keys.c.revoked_at > since),
            or_(keys.c.expires_at.is_(None), keys.c.expires_at > since),
        )
        .order_by(keys.c.id.desc())
    )
    return rows.every(Key, connection.execute(query))


def revoke(connection: Connection, key_id: str, now: int) -> None:
    """Ends a key; the first time counts. Idempotent."""
    connection.execute(update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None)).values(revoked_at=now))


def touch(connection: Connection, used: Mapping[str, int]) -> None:
    """Notes when keys were used last (key id -> time)."""
    for key_id, at in used.items():
        connection.execute(update(keys).where(keys.c.id == key_id).values(last_used_at=at))


def forget_expired(connection: Connection, now: int) -> int:
    """Deletes keys that expired over 30 days ago. Returns how many.

    Revoked ones without an expiry stay, but are not listed: were they deleted, a revoked key of the operator's
    configuration would be registered again at the next start, and be valid.
    """
    return connection.execute(delete(keys).where(keys.c.expires_at < now - ENDED_SHOWN_MS)).rowcount
