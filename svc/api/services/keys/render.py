"""Rows to messages."""

from pkg.keys.model import Key
from sealift.ctrl.v1 import key_pb2 as pb
from svc.api.services.keys.validation import ROLES

_ROLE_VALUES = {role: value for value, role in ROLES.items()}


def render(key: Key) -> pb.Key:
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
