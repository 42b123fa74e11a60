"""The port of build telemetry. Adapters pass the same contract tests."""

from collections.abc import Sequence
from typing import Protocol

from pkg.telemetry.events import BuildEvent

MAX_READ = 1000


class BuildTelemetry(Protocol):
    """Steps and lines of builds, by build and sequence number.

    Every method raises Unavailable `telemetry.unavailable` while the store is away or full.
    """

    async def append(self, build_id: str, events: Sequence[BuildEvent]) -> int:
        """Stores the events, in this order, with the next sequence numbers. Returns the last one (0: none yet).

        All or nothing. Not idempotent: a repetition is stored again. No events is fine.

        Raises:
            Aborted: `build.attempt_superseded` when a later attempt has written already.
        """
        ...

    async def read(self, build_id: str, after_seq: int = 0, limit: int = MAX_READ) -> list[BuildEvent]:
        """Events with a larger sequence number, in order, at most `limit` (1..1000). Unknown build: none."""
        ...

    async def last_seq(self, build_id: str) -> int:
        """0 when nothing is stored."""
        ...

    async def delete(self, build_id: str) -> None:
        """Forgets the build's events. Idempotent."""
        ...

    async def delete_before(self, at: int) -> int:
        """Forgets every build whose last event is older than `at` (epoch milliseconds). Returns how many builds."""
        ...

    async def changed(self, after: int, timeout_s: float) -> int:
        """Waits until something was stored by any process since the token `after`; returns the new token.

        Returns `after` when the time is up. 0 returns at once with the present token: take it before reading, and no
        event is missed.
        """
        ...
