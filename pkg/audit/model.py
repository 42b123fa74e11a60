"""Entries of the audit log. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class AuditEntry:
    """One change.

    Attributes:
        at: epoch ms.
        method: "/package.Service/Method".
        targets: ids of what was made or changed, by the protos' field names; of an exec also its command, without
            secrets that are known. Never another value of the request.
    """

    at: int
    workspace_id: str
    key_id: str
    key_name: str
    method: str
    request_id: str
    targets: Mapping[str, str]
