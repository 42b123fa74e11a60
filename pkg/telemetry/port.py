"""The port of telemetry. Every adapter passes `contract.TelemetryContract`.

What processes record apart from the control database: much, cheap, and gone after a while. Today that is what builds
print and do. Each further kind of record is a protocol next to `BuildTelemetry`, and a property of
`Telemetry`.
"""

from collections.abc import Sequence
from typing import Protocol

from pkg.config import Strict
from pkg.telemetry.events import BuildEvent

MAX_READ = 1000


class BuildTelemetry(Protocol):
    """Steps and lines of builds, by build and sequence number.

    The writer numbers the events, by its attempt's number in the control database, and asks that database whether its
    attempt is still the current one (`pkg.builders.sink`); a store need not compare what it is given with what it has.

    Every method raises Unavailable `telemetry.unavailable` while the store is away or full.
    """

    async def append(self, build_id: str, events: Sequence[BuildEvent]) -> None:
        """Stores the events. No events is fine.

        Idempotent: an event is identified by `attempt` and `seq`, and storing it again changes nothing. Where two
        attempts used the same `seq`, only the later attempt's event is read. Events of a call that failed may be
        stored in part: repeat the call, or leave those numbers unused.
        """
        ...

    async def read(self, build_id: str, after_seq: int = 0, limit: int = MAX_READ) -> list[BuildEvent]:
        """Events with a larger sequence number, in order, at most `limit` (1..1000). Unknown build: none."""
        ...

    async def delete(self, build_id: str) -> None:
        """Forgets the build's events. Idempotent."""
        ...

    async def delete_before(self, at: int) -> int:
        """Forgets every build whose last event is older than `at` (epoch milliseconds). Returns how many builds."""
        ...


class TelemetryChanges(Protocol):
    """Wakes those who follow. It says that something was stored, not what: readers then ask the store."""

    async def changed(self, after: int, timeout_s: float) -> int:
        """Waits until something was stored by any process since the token `after`; returns the new token.

        Returns `after` when the time is up. 0 returns at once with the present token: take it before reading, and no
        event is missed.
        """
        ...


class Telemetry(Protocol):
    """One opened store: a part for each kind of record, and the wake-up of followers, which may come from elsewhere."""

    @property
    def builds(self) -> BuildTelemetry:
        """What builds print and do."""
        ...

    @property
    def changes(self) -> TelemetryChanges:
        """The wake-up of followers."""
        ...

    async def check(self) -> None:
        """Whether the store can be read now; quick, and changes nothing.

        Raises:
            Unavailable: `telemetry.unavailable`, with what is wrong.
        """
        ...

    async def close(self) -> None:
        """Releases what the store holds; calls under way finish first. Idempotent."""
        ...


MAX_RETENTION_DAYS = 3650


class TelemetryConfig(Strict):
    """Base of the sections that configure a telemetry store. The key `backend` of each one names its store.

    Attributes:
        retention_days: how long a build's steps and logs are kept after its last line.
    """

    retention_days: int = 30

    def problems(self) -> list[str]:
        """A positive number of days."""
        if 1 <= self.retention_days <= MAX_RETENTION_DAYS:
            return []
        return [f"retention_days: expected 1 to {MAX_RETENTION_DAYS}, got {self.retention_days}"]

    def open(self) -> Telemetry:
        """Opens the store without a request to it: `check` does that."""
        raise NotImplementedError
