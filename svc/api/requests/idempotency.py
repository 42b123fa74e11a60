"""Idempotency keys: the key of a request with the hash of its payload, and the look-up of what it made before."""

from dataclasses import dataclass

from google.protobuf.message import Message
from sqlalchemy import Connection

from pkg import idempotency
from sealift.ctrl.v1.build_pb2 import BuildContext
from svc.api.requests.checks import check_idempotency_key


@dataclass(frozen=True)
class IdempotencyKey:
    """The idempotency key of one request, with the hash of its payload."""

    key: str
    payload_hash: str

    def find(self, connection: Connection, project_id: str, now: int) -> str | None:
        """What this key made before; see `pkg.idempotency.find`."""
        return idempotency.find(
            connection, project_id=project_id, key=self.key, payload_hash=self.payload_hash, now=now
        )

    def keep(self, connection: Connection, project_id: str, result_id: str, now: int) -> None:
        """Remembers what this key made."""
        idempotency.keep(
            connection,
            project_id=project_id,
            key=self.key,
            payload_hash=self.payload_hash,
            result_id=result_id,
            now=now,
        )


def key_of(request: Message, payload_key: bytes) -> IdempotencyKey | None:
    """The request's idempotency key, checked; None when it has none.

    The hash is keyed: a payload may hold a build secret, which must not be guessable from the database.
    """
    if not request.HasField("idempotency_key"):
        return None
    key = check_idempotency_key(getattr(request, "idempotency_key"))  # noqa: B009 - Message is the common type
    payload = type(request)()
    payload.CopyFrom(request)
    payload.ClearField("idempotency_key")
    _compare_trees(payload)
    text = request.DESCRIPTOR.full_name.encode() + b"\0" + payload.SerializeToString(deterministic=True)
    return IdempotencyKey(key, idempotency.payload_hash(payload_key, text))


def _compare_trees(payload: Message) -> None:
    """Lets a context count by its tree, if the sender names it: the archive of a new checkout has other dates."""
    if "build_context" in payload.DESCRIPTOR.fields_by_name and payload.HasField("build_context"):
        context: BuildContext = getattr(payload, "build_context")  # noqa: B009 - Message is the common type
        if context.HasField("tree_sha256"):
            context.ClearField("build_context_path")
