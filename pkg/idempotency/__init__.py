"""Idempotency keys: the same call with the same key and payload gives the same result for 24 hours.

Unique per project. The same key with another payload is AlreadyExists `idempotency.mismatch`.
"""

from pkg.idempotency.queries import TTL_MS, find, forget_old, keep, payload_hash

__all__ = ["TTL_MS", "find", "forget_old", "keep", "payload_hash"]
