"""The port of telemetry. Every adapter passes `contract.TelemetryContract`.

What processes record apart from the control database: much, cheap, and gone after a while. Today that is what builds
print and do, what apps print, how deployments were used, and what their instances used. Each further kind of record is
a protocol next to `BuildTelemetry`, and a property of `Telemetry`.
"""

from collections.abc import Sequence
from typing import Protocol

from pkg.config import Strict
from pkg.telemetry.access import AccessRecord
from pkg.telemetry.app_lines import AppLine, LineKey, SourceHead, SourceLines
from pkg.telemetry.events import BuildEvent
from pkg.telemetry.usage import UsageRecord

MAX_READ = 1000
MAX_READ_ACCESS = MAX_READ_USAGE = 50_000
MAX_LOG_DAYS = 90  # the longest that lines of apps may be kept


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


class LogTelemetry(Protocol):
    """Lines that apps print, by deployment and source.

    Lines of a source arrive in order, each batch after the one before was stored: what is stored of a source is
    everything up to its head, but for what was deleted because of its age or size. So the numbers of the last lines
    that a reader has of each source are a complete position.

    Every method raises Unavailable `telemetry.unavailable` while the store is away or full.
    """

    async def append(self, batches: Sequence[SourceLines]) -> None:
        """Stores the lines, and with them where their writer continues. No batches is fine.

        Idempotent: lines up to a source's head change nothing. Batches of a call that failed may be stored in part:
        repeat the call.
        """
        ...

    async def heads(self, deployment_id: str) -> list[SourceHead]:
        """Every source of the deployment, also one without lines."""
        ...

    async def read_by_time(self, deployment_id: str, after: LineKey, limit: int = MAX_READ) -> list[AppLine]:
        """The deployment's lines after a key, in the order of their keys, at most `limit` (1..1000)."""
        ...

    async def read_newest(
        self, deployment_id: str, since: int, *, source_id: str = "", limit: int = MAX_READ
    ) -> list[AppLine]:
        """The newest `limit` (1..1000) lines that are not older than `since`, in the order of their keys.

        Of one source, or of all for "".
        """
        ...

    async def read_source(
        self, deployment_id: str, source_id: str, at: int, after_seq: int, limit: int = MAX_READ
    ) -> list[AppLine]:
        """Lines of one source after the one of the number `after_seq`, in order, at most `limit` (1..1000).

        `at` is of that line, or any earlier time: how far back the store has to look.
        """
        ...

    async def trim(self, deployment_id: str, max_bytes: int) -> bool:
        """Forgets the deployment's oldest lines until the rest has about `max_bytes`; whether there were some.

        The lines of the last seconds stay, however many they are.
        """
        ...

    async def delete(self, deployment_id: str) -> None:
        """Forgets the deployment's lines and sources. Idempotent."""
        ...

    async def delete_before(self, at: int) -> None:
        """Forgets lines older than `at` (epoch milliseconds), and sources that ended before. Idempotent."""
        ...


class AccessTelemetry(Protocol):
    """Access figures by project and time.

    Every method raises Unavailable `telemetry.unavailable` while the store is away or full.
    """

    async def store(self, records: Sequence[AccessRecord]) -> None:
        """Stores the records. No records is fine.

        Idempotent, in any order: of a record's revisions the highest is read. Records of a call that failed may be
        stored in part: repeat the call.
        """
        ...

    async def read(
        self,
        project_id: str,
        step_s: int,
        since: int,
        until: int,
        *,
        deployment_id: str = "",
        limit: int = MAX_READ_ACCESS,
    ) -> list[AccessRecord]:
        """Records of steps that begin at `since` or later and before `until`, in order of `at`.

        Of one deployment, or of all for "". At most `limit` (1..50,000): as many say that there may be more.
        """
        ...

    async def delete(self, project_id: str, deployment_id: str = "") -> None:
        """Forgets the records of a deployment of the project, or of all for "". Idempotent."""
        ...

    async def delete_before(self, step_s: int, at: int) -> None:
        """Forgets the records of steps of this length that began before `at` (epoch milliseconds). Idempotent."""
        ...


class UsageTelemetry(Protocol):
    """What instances used, by project and step.

    Every method raises Unavailable `telemetry.unavailable` while the store is away or full.
    """

    async def store(self, records: Sequence[UsageRecord]) -> None:
        """Stores the records. None is fine.

        Idempotent, in any order: of the records of one series and step the one with the highest `seq` is read. Records
        of a call that failed may be stored in part: repeat the call.
        """
        ...

    async def latest(
        self,
        project_id: str,
        step_s: int,
        before: int,
        *,
        since: int = 0,
        deployment_id: str = "",
        limit: int = MAX_READ_USAGE,
    ) -> list[UsageRecord]:
        """The last record of each series, of steps of this length that begin before `before` (epoch milliseconds).

        Only of series whose last step begins at `since` or later. Of one deployment, or of all for "". At most `limit`
        (1..50,000): as many say that there may be more.
        """
        ...

    async def delete(self, project_id: str, deployment_id: str = "") -> None:
        """Forgets the records of a deployment of the project, or of all for "". Idempotent."""
        ...

    async def delete_before(self, step_s: int, at: int) -> None:
        """Forgets the records of steps of this length that began before `at` (epoch milliseconds). Idempotent."""
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
    def logs(self) -> LogTelemetry:
        """What apps print."""
        ...

    @property
    def access(self) -> AccessTelemetry:
        """How deployments were used."""
        ...

    @property
    def usage(self) -> UsageTelemetry:
        """What instances used."""
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
