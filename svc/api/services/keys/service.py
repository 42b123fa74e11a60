"""The servicer of KeyService."""

# ruff: noqa: N802 - methods are named as the protos name them

import logging
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from pkg.auth import Role
from pkg.auth.bearer import HOW_TO_SET
from pkg.buildinfo import current
from pkg.errors import FailedPrecondition, InvalidArgument, NotFound, Unauthenticated
from pkg.keys import queries
from pkg.keys.model import Key
from pkg.keys.rules import new_key
from pkg.observability.logging import fields
from pkg.projects.slugs import check_slug
from pkg.workspaces import queries as workspaces
from sealift.ctrl.v1 import key_pb2 as pb
from svc.api.deps import ApiDeps
from svc.api.requests.checks import check_id, check_name, check_range
from svc.api.requests.mutation import Change, mutate
from svc.api.rpc import Call

log = logging.getLogger(__name__)

MIN_EXPIRES_IN_S = 60
MAX_EXPIRES_IN_S = 315_360_000  # ten years
_ROLES = {
    pb.KEY_ROLE_ADMIN: Role.ADMIN,
    pb.KEY_ROLE_DEPLOY: Role.DEPLOY,
    pb.KEY_ROLE_CLUSTER: Role.CLUSTER,
}
_ROLE_VALUES = {role: value for value, role in _ROLES.items()}


@dataclass(frozen=True)
class _KeyParameters:
    """The key to make."""

    name: str
    role: Role
    region: str | None
    expires_in_s: int | None


class KeyServicer:
    """Access keys of the caller's workspace."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    async def CreateKey(self, request: pb.CreateKeyRequest, call: Call) -> pb.CreateKeyResponse:
        """The only answer that ever holds the key itself."""
        key, secret, now = _key_parameters(request), new_key(), self._deps.clock()

        def create(connection: Connection) -> Change[Key]:
            made = queries.add(
                connection,
                secret=secret,
                workspace_id=call.workspace_id,
                name=key.name,
                role=key.role,
                region=key.region,
                expires_at=None if key.expires_in_s is None else now + key.expires_in_s * 1000,
                now=now,
            )
            return Change(made, {"key_id": made.id})

        made = await mutate(self._deps, call, create)
        log.info("key created", extra=fields(created_key_id=made.id, role=made.role, by_key_id=call.caller.key_id))
        return pb.CreateKeyResponse(key=_render(made), secret=secret)

    async def ListKeys(self, request: pb.ListKeysRequest, call: Call) -> pb.ListKeysResponse:
        """Newest first, revoked ones for 30 days. Last uses are precise to the minute."""
        del request
        await self._deps.authorizer.note_uses()
        found = await self._deps.db.read(queries.shown, call.workspace_id, self._deps.clock())
        return pb.ListKeysResponse(keys=[_render(key) for key in found])

    async def GetCurrentKey(self, request: pb.GetCurrentKeyRequest, call: Call) -> pb.GetCurrentKeyResponse:
        """Open to every role: a person asks it whose key a machine has."""
        del request
        await self._deps.authorizer.note_uses()
        key, workspace_slug = await self._deps.db.read(_current, call.caller.key_id, call.workspace_id)
        return pb.GetCurrentKeyResponse(
            key=_render(key),
            workspace_id=call.workspace_id,
            workspace_slug=workspace_slug,
            installation_id=self._deps.installation.installation_id,
            server_version=current().version,
        )

    async def RevokeKey(self, request: pb.RevokeKeyRequest, call: Call) -> pb.RevokeKeyResponse:
        """Takes effect with the next call; open streams of the key end within half a minute."""
        check_id("key_id", "key", request.key_id)
        if request.key_id == call.caller.key_id:
            raise FailedPrecondition("key.in_use", "A key cannot revoke itself: use another key.", field="key_id")

        def revoke(connection: Connection) -> Change[Key]:
            key = queries.get(connection, request.key_id, workspace_id=call.workspace_id)
            if key is None:
                raise NotFound(
                    "key.not_found", f"There is no key {request.key_id}: `sealift keys` lists yours.", field="key_id"
                )
            if key.revoked_at is not None:
                return Change(key, {})
            now = self._deps.clock()
            queries.revoke(connection, key.id, now)
            return Change(replace(key, revoked_at=now), {"key_id": key.id})

        revoked = await mutate(self._deps, call, revoke)
        log.info("key revoked", extra=fields(revoked_key_id=revoked.id, by_key_id=call.caller.key_id))
        return pb.RevokeKeyResponse(key=_render(revoked))


def _current(connection: Connection, key_id: str, workspace_id: str) -> tuple[Key, str]:
    key = queries.get(connection, key_id, workspace_id=workspace_id)
    if key is None:  # deleted since the call was let in
        raise Unauthenticated("auth.key_invalid", f"This server does not know the access key any more: {HOW_TO_SET}.")
    return key, workspaces.slug_of(connection, workspace_id)


def _key_parameters(request: pb.CreateKeyRequest) -> _KeyParameters:
    """The key to make, checked."""
    name = check_name("name", request.name)
    role = _ROLES.get(request.role)
    if role is None:
        raise InvalidArgument("role", "is required: admin, deploy or cluster")
    region = None
    if role is Role.CLUSTER:
        region = check_slug("region", request.region)
    elif request.HasField("region"):
        raise InvalidArgument("region", f"is only for role cluster, not for {role}")
    expires_in_s = None
    if request.HasField("expires_in_s"):
        expires_in_s = check_range("expires_in_s", request.expires_in_s, MIN_EXPIRES_IN_S, MAX_EXPIRES_IN_S, "seconds")
    return _KeyParameters(name, role, region, expires_in_s)


def _render(key: Key) -> pb.Key:
    """The key, without its hash."""
    return pb.Key(
        key_id=key.id,
        name=key.name,
        role=_ROLE_VALUES[key.role],
        region=key.region or "",
        hint=key.hint,
        created_at=key.created_at,
        expires_at=key.expires_at or 0,
        revoked_at=key.revoked_at or 0,
        last_used_at=key.last_used_at or 0,
    )
