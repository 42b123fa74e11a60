"""Access keys: their form, and what is stored."""

import pytest
from sqlalchemy import Connection

from pkg.auth import Role
from pkg.db import Database
from pkg.keys import queries, rules
from pkg.keys.model import Key
from pkg.workspaces import queries as workspaces


@pytest.fixture
async def db(db: Database) -> Database:
    """With a workspace."""
    await db.write(workspaces.ensure_default, 1)
    return db


def ensure(connection: Connection, secret: str, name: str, role: Role = Role.ADMIN) -> Key:
    return queries.ensure(
        connection,
        secret=secret,
        workspace_id=workspaces.default_id(connection),
        name=name,
        role=role,
        region="local" if role is Role.CLUSTER else None,
        now=1000,
    )


def test_keys_are_long_and_different() -> None:
    """Promise: a key holds 200 random bits, in letters and digits."""
    keys = {rules.new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(rules.is_key(key) and len(key) == 44 for key in keys)


@pytest.mark.parametrize("text", ["", "slk_", f"slk_{'a' * 31}", f"slk_{'a' * 129}", f"slk_{'a' * 40}\n", "x" * 44])
def test_other_text_is_no_key(text: str) -> None:
    """Promise: what can't be a key is not even looked up."""
    assert not rules.is_key(text)


def test_only_the_key_matches() -> None:
    """Promise: the stored hash matches its key and no other."""
    key = rules.new_key()
    stored = rules.hash_of(key)
    assert key not in stored
    assert rules.matches(key, stored)
    assert not rules.matches(key + "a", stored)
    assert rules.hint_of(key) == key[:8]


async def test_bootstrap_is_idempotent(db: Database) -> None:
    """Promise: registering a key file again changes nothing but name, role and region; a revoked one stays so."""
    secret = rules.new_key()
    first = await db.write(ensure, secret, "admin")
    assert await db.write(ensure, secret, "admin") == first
    changed = await db.write(ensure, secret, "krane", Role.CLUSTER)
    assert (changed.id, changed.name, changed.role, changed.region) == (first.id, "krane", Role.CLUSTER, "local")
    await db.write(queries.revoke, first.id, 5)
    assert (await db.write(ensure, secret, "krane", Role.CLUSTER)).revoked_at == 5
    assert secret not in str(await db.read(queries.get, first.id))


async def test_a_revoked_key_stays_revoked(db: Database) -> None:
    """Promise: it is listed for 30 days; a key of the configuration is refused after that, too, at every start."""
    secret = rules.new_key()
    gone = await db.write(ensure, secret, "gone")
    kept = await db.write(ensure, rules.new_key(), "kept")
    await db.write(queries.revoke, gone.id, 1000)
    later = 1000 + queries.ENDED_SHOWN_MS
    assert {k.name for k in await db.read(queries.shown, gone.workspace_id, later - 1)} == {"kept", "gone"}
    assert [k.name for k in await db.read(queries.shown, gone.workspace_id, later)] == ["kept"]
    assert await db.write(queries.forget_expired, later + 1) == 0
    assert (await db.write(ensure, secret, "gone")).revoked_at == 1000
    assert await db.read(queries.get, kept.id) is not None


async def test_expired_keys_are_forgotten_after_a_month(db: Database) -> None:
    """Promise: keys that are made for a day each do not pile up."""
    kept = await db.write(ensure, rules.new_key(), "kept")
    short = await db.write(
        lambda connection: queries.add(
            connection, secret=rules.new_key(), workspace_id=kept.workspace_id, name="short", role=Role.DEPLOY,
            region=None, expires_at=1000, now=1,
        )
    )  # fmt: skip
    later = 1000 + queries.ENDED_SHOWN_MS
    assert {k.name for k in await db.read(queries.shown, kept.workspace_id, later - 1)} == {"kept", "short"}
    assert [k.name for k in await db.read(queries.shown, kept.workspace_id, later)] == ["kept"]
    assert await db.write(queries.forget_expired, later) == 0
    assert await db.write(queries.forget_expired, later + 1) == 1
    assert await db.read(queries.get, short.id) is None
    assert await db.read(queries.get, kept.id) is not None
