"""The audit log: one row for every change that a caller made through the api, written in the change's own transaction.

A row says who (key), in which call (method, request id), on what (ids), and when. It holds no other value of the
request, so no secret; but of an exec its command, without the secrets that are known. Rows outlive the objects they
name and are deleted after 180 days.
"""

from pkg.audit.model import AuditEntry
from pkg.audit.queries import KEEP_MS, forget_old, record

__all__ = ["KEEP_MS", "AuditEntry", "forget_old", "record"]
