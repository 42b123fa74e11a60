"""One resource type's conversation on one ADS stream: what was requested, which answer is open.

The protocol is "state of the world", and at most one answer of a type is open. That makes the bookkeeping plain: a
request with the nonce of the last answer is its ACK or NACK, one with an older nonce is stale (Envoy asks again once it
has read the newer answer).
"""

import enum
from typing import Any


class AckOutcome(enum.Enum):
    """What a request of Envoy meant."""

    SUBSCRIBED = "subscribed"  # first of the type on this stream, or other names than before
    ACKED = "acked"
    REFUSED = "refused"
    STALE = "stale"


class Subscription:
    """State of one resource type on one stream.

    Attributes:
        names: What Envoy requested; empty means everything (CDS, LDS). None before the first request.
        added: Names that the latest request added.
        resumed: Envoy held an accepted version when it opened the stream: it has a configuration already.
        waiting: An answer is open.
        error: Why Envoy refused the last answer; "" when it did not.
    """

    def __init__(self) -> None:
        self.names: frozenset[str] | None = None
        self.added: frozenset[str] = frozenset()
        self.resumed = False
        self.waiting = False
        self.error = ""
        self._nonce = ""

    @property
    def open(self) -> bool:
        """Whether an answer may be sent now."""
        return self.names is not None and not self.waiting

    def sent(self, nonce: str) -> None:
        """Notes that the answer `nonce` was sent."""
        self._nonce = nonce
        self.waiting = True

    def receive(self, request: Any) -> AckOutcome:
        """Takes in a DiscoveryRequest of this type."""
        first = self.names is None
        if not first and request.response_nonce != self._nonce:
            return AckOutcome.STALE
        names = frozenset(request.resource_names)
        self.added = names - (self.names or frozenset())
        self.names = names
        if first:
            self.resumed = bool(request.version_info)
            return AckOutcome.SUBSCRIBED
        if not self.waiting:
            return AckOutcome.SUBSCRIBED
        self.waiting = False
        self.error = request.error_detail.message if request.HasField("error_detail") else ""
        return AckOutcome.REFUSED if request.HasField("error_detail") else AckOutcome.ACKED
