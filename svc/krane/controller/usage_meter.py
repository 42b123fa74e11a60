"""What each instance has used, from what a runtime counts now and then. Pure.

A runtime's counters begin again when an app is started again, and it has no integral of memory. Here are counters that
only grow, by instance. The state outlives this process (`to_json`), as instances do.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from svc.krane.controller.log_follower import source_id
from svc.krane.runtime.port import InstanceUsage, Observation

# Between two measurements memory is taken as their mean. What it was in a longer time is unknown.
MAX_GAP_MS = 60_000
# An instance that was not measured for so long is forgotten.
KEPT_MS = 24 * 3600 * 1000
_NS_PER_MS = 1_000_000


class Seen(NamedTuple):
    """What the controller knows of an instance: when its app was started last (epoch ms), and how often again."""

    started_at: int
    restarts: int

    @classmethod
    def of(cls, seen: Observation) -> "Seen":
        """Of an observation."""
        return cls(seen.started_at_ms, seen.restarts)


class Counter(msgspec.Struct):
    """One counter of an instance. None: unknown so far.

    Attributes:
        total: counted since the series began.
        last: the runtime's value at the last measurement.
    """

    total: int | None = None
    last: int | None = None

    def take(self, value: int | None, *, is_whole: bool) -> None:
        """Takes the runtime's value; `is_whole`: nobody counted the first one before, else counting begins there.

        A value that is less than the last one began again at 0.
        """
        if value is None:
            return
        before = self.last if self.last is not None else 0 if is_whole else value
        new = value - before if value >= before else value
        self.total, self.last = (self.total or 0) + new, value


class Series(msgspec.Struct):
    """What one instance has used since `began_at`, epoch milliseconds.

    Attributes:
        is_whole: nobody counted what it had used before.
        seq: of the last measurement; `taken`: of the one that the api has.
        memory_byte_ms: bytes in use, multiplied by the milliseconds of `measured_ms`.
    """

    deployment_id: str
    instance_id: str
    began_at: int
    is_whole: bool
    seq: int = 0
    taken: int = 0
    measured_at: int = 0
    memory_bytes: int = 0
    memory_byte_ms: int = 0
    measured_ms: int = 0
    cpu_millicores: int | None = None
    cpu_ns: Counter = msgspec.field(default_factory=Counter)
    restarts: Counter = msgspec.field(default_factory=Counter)
    network_rx_bytes: Counter = msgspec.field(default_factory=Counter)
    network_tx_bytes: Counter = msgspec.field(default_factory=Counter)
    disk_read_bytes: Counter = msgspec.field(default_factory=Counter)
    disk_write_bytes: Counter = msgspec.field(default_factory=Counter)

    def take(self, use: InstanceUsage, seen: Seen | None, now: int) -> None:
        """Takes a measurement."""
        is_first = self.seq == 0
        begin = self.measured_at
        if is_first:
            begin = seen.started_at if self.is_whole and seen is not None else now
        passed_ms = now - begin if 0 <= now - begin <= MAX_GAP_MS else 0
        before = self.cpu_ns.total or 0
        if use.cpu_ns is not None:
            self.cpu_ns.take(use.cpu_ns, is_whole=self.is_whole)
        elif use.cpu_nanocores is not None:
            self.cpu_ns.total = before + use.cpu_nanocores * passed_ms // 1000
        mean = use.memory_bytes if is_first else (self.memory_bytes + use.memory_bytes) // 2
        self.memory_byte_ms += mean * passed_ms
        self.measured_ms += passed_ms
        if use.cpu_nanocores is not None:
            self.cpu_millicores = use.cpu_nanocores // _NS_PER_MS
        elif not is_first and now > begin:
            self.cpu_millicores = round(((self.cpu_ns.total or 0) - before) / (now - begin) / 1000)
        self.restarts.take(seen.restarts if seen is not None else None, is_whole=self.is_whole)
        self.network_rx_bytes.take(use.network_rx_bytes, is_whole=self.is_whole)
        self.network_tx_bytes.take(use.network_tx_bytes, is_whole=self.is_whole)
        self.disk_read_bytes.take(use.disk_read_bytes, is_whole=self.is_whole)
        self.disk_write_bytes.take(use.disk_write_bytes, is_whole=self.is_whole)
        self.memory_bytes, self.measured_at = use.memory_bytes, now
        self.seq = max(self.seq + 1, now)


class Due(NamedTuple):
    """A series that is to be reported, by its source; `seq`: of its last measurement."""

    source: str
    series: Series
    seq: int


class UsageMeter(msgspec.Struct):
    """The series of all instances, by source.

    Attributes:
        term: of the leadership in which they were measured: another leader may have counted in between.
        began_at: epoch milliseconds: instances whose app was started since then were counted by nobody else.
    """

    term: int
    began_at: int
    series: dict[str, Series] = msgspec.field(default_factory=dict)

    def take(self, measured: Iterable[InstanceUsage], seen: Mapping[str, Seen], now: int) -> None:
        """Takes what a runtime has counted at `now`, epoch milliseconds; `seen`: by uid."""
        for use in measured:
            source, known = source_id(use.uid), seen.get(use.uid)
            series = self.series.get(source)
            if series is None:
                is_whole = known is not None and self.began_at <= known.started_at
                series = self.series[source] = Series(use.deployment_id, use.name, now, is_whole)
            series.take(use, known, now)
        for source, series in list(self.series.items()):
            if now - series.measured_at > KEPT_MS:
                del self.series[source]

    def due(self) -> list[Due]:
        """Those with measurements that the api does not have."""
        return [Due(source, series, series.seq) for source, series in self.series.items() if series.taken < series.seq]

    def taken(self, told: Sequence[Due]) -> None:
        """The api has these, up to their numbers."""
        for _, series, seq in told:
            series.taken = seq

    def to_json(self) -> bytes:
        """The state, for `restored`."""
        return msgspec.json.encode(self)

    @classmethod
    def restored(cls, content: bytes) -> "UsageMeter":
        """From what `to_json` wrote. Raises ValueError for anything else."""
        return msgspec.json.decode(content, type=cls)
