"""Authorises calls: one check for both transports."""

from collections.abc import Mapping

from sqlalchemy import Connection

from pkg.auth import Access, Caller, bearer_key, check_role, is_open
from pkg.auth.bearer import HOW_TO_SET
from pkg.clock import Clock
from pkg.db import Database
from pkg.errors import Unauthenticated
from pkg.keys import queries, rules

USE_NOTED_EVERY_MS = 60_000


class Authorizer:
    """Finds the key of a call and checks its role. `note_uses` stores when keys were used; call it periodically."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._used: dict[str, int] = {}

    async def authorize(self, method: str, access: Access, metadata: Mapping[str, str]) -> Caller | None:
        """Who calls `method` ("/package.Service/Method"), which declares `access`; None when it is open.

        Raises:
            Unauthenticated: no key, or one that is unknown, expired or revoked.
            PermissionDenied: the key's role may not call this method.
        """
        if is_open(access):
            return None
        secret = bearer_key(metadata)
        key = await self._db.read(queries.by_hash, rules.hash_of(secret)) if rules.is_key(secret) else None
        if key is None or not rules.matches(secret, key.hash):
            raise Unauthenticated("auth.key_invalid", f"This server does not know the access key: {HOW_TO_SET}.")
        now = self._clock()
        if key.revoked_at is not None:
            raise Unauthenticated("auth.key_revoked", f"The access key {key.name!r} was revoked: {HOW_TO_SET}.")
        if key.expires_at is not None and key.expires_at <= now:
            raise Unauthenticated("auth.key_expired", f"The access key {key.name!r} has expired: {HOW_TO_SET}.")
        caller = Caller(key.id, key.name, key.workspace_id, key.role, key.region)
        check_role(method, access, caller)
        if key.last_used_at is None or now - key.last_used_at >= USE_NOTED_EVERY_MS:
            self._used[key.id] = now
        return caller

    async def note_uses(self) -> None:
        """Stores the uses since the last time."""
        if not self._used:
            return
        used, self._used = self._used, {}
        try:
            await self._db.write(_touch, used)
        except BaseException:
            self._used = {**used, **self._used}  # with the next ones
            raise


def _touch(connection: Connection, used: Mapping[str, int]) -> None:
    queries.touch(connection, used)
