"""Statements about idempotency keys."""

import hmac

from sqlalchemy import Connection, delete, select

from pkg.db import upsert
from pkg.errors import AlreadyExists
from pkg.idempotency.tables import idempotency_keys

TTL_MS = 24 * 3600 * 1000
# Hashes without it are of older versions, which made them with another key. Nothing compares with them: for the 24
# hours that they live, the idempotency key alone counts.
_CURRENT = "2:"


def payload_hash(key: bytes, payload: bytes) -> str:
    """What `find` and `keep` take: the payload's HMAC. Keyed, since a payload may hold a secret with few choices."""
    return f"{_CURRENT}{hmac.digest(key, payload, 'sha256')[:31].hex()}"


def find(connection: Connection, *, project_id: str, key: str, payload_hash: str, now: int) -> str | None:
    """The id that the first call with this key made, None when there was none in the last 24 hours.

    Raises:
        AlreadyExists: `idempotency.mismatch`: that call had another payload.
    """
    row = connection.execute(
        select(idempotency_keys).where(
            idempotency_keys.c.project_id == project_id,
            idempotency_keys.c.key == key,
            idempotency_keys.c.created_at > now - TTL_MS,
        )
    ).first()
    if row is None:
        return None
    if row.payload_sha256 != payload_hash and row.payload_sha256.startswith(_CURRENT):
        raise AlreadyExists(
            "idempotency.mismatch",
            f"idempotency_key {key!r} was used in the last 24 hours for a different request, which made"
            f" {row.result_id}: use a new key for a new request.",
            field="idempotency_key",
            metadata={"result_id": row.result_id},
        )
    return str(row.result_id)


def keep(connection: Connection, *, project_id: str, key: str, payload_hash: str, result_id: str, now: int) -> None:
    """Records what the key made; replaces an expired record. Call it in the transaction that makes the thing."""
    values = {"payload_sha256": payload_hash, "result_id": result_id, "created_at": now}
    statement = upsert.insert(connection, idempotency_keys).values(project_id=project_id, key=key, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["project_id", "key"], set_=values))


def forget_old(connection: Connection, now: int) -> int:
    """Deletes keys older than 24 hours. Returns how many."""
    return connection.execute(delete(idempotency_keys).where(idempotency_keys.c.created_at <= now - TTL_MS)).rowcount
