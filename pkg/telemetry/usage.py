"""What instances used of their machines, as it is stored."""

from dataclasses import dataclass
from operator import add, sub

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
_DAY_MS = DAY_S * 1000
# How long the figures of a step are kept, by its length in seconds.
USAGE_KEPT_MS = {MINUTE_S: _DAY_MS, HOUR_S: 30 * _DAY_MS, DAY_S: 400 * _DAY_MS}


@dataclass(frozen=True, slots=True)
class UsageFigures:
    """What was used. None: unknown.

    Attributes:
        cpu_ns: CPU time in nanoseconds.
        memory_byte_s: bytes in use, multiplied by the seconds of `measured_ms`.
        measured_ms: the time over which memory was measured.
        restarts: of the app by its runtime.
    """

    cpu_ns: int = 0
    memory_byte_s: int = 0
    measured_ms: int = 0
    restarts: int = 0
    network_rx_bytes: int | None = None
    network_tx_bytes: int | None = None
    disk_read_bytes: int | None = None
    disk_write_bytes: int | None = None

    def since(self, earlier: "UsageFigures") -> "UsageFigures":
        """What came after `earlier`, of the same counters."""
        return UsageFigures(
            max(0, self.cpu_ns - earlier.cpu_ns),
            max(0, self.memory_byte_s - earlier.memory_byte_s),
            max(0, self.measured_ms - earlier.measured_ms),
            max(0, self.restarts - earlier.restarts),
            *(
                None if now is None else max(0, sub(now, before or 0))
                for now, before in zip(self.bytes_moved, earlier.bytes_moved, strict=True)
            ),
        )

    def __add__(self, other: "UsageFigures") -> "UsageFigures":
        """Both; what is unknown of one is left out."""
        return UsageFigures(
            self.cpu_ns + other.cpu_ns,
            self.memory_byte_s + other.memory_byte_s,
            self.measured_ms + other.measured_ms,
            self.restarts + other.restarts,
            *(
                add(one or 0, another or 0) if one is not None or another is not None else None
                for one, another in zip(self.bytes_moved, other.bytes_moved, strict=True)
            ),
        )

    @property
    def bytes_moved(self) -> tuple[int | None, int | None, int | None, int | None]:
        """By network and disk, in the order of the attributes."""
        return self.network_rx_bytes, self.network_tx_bytes, self.disk_read_bytes, self.disk_write_bytes


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """All that an instance had used up to some time of a step.

    The first six attributes identify it; of records that share these the one with the highest `seq` counts. Those that
    share the first five but `step_s` are of one series: their figures only grow. What was used in a time is therefore
    the last record of each series in it, less the last one before it.

    Attributes:
        step_s: length of the step: 60, 3600 or 86400 seconds.
        at: begin of the step, epoch milliseconds.
        source_id: the instance, from its creation to its end.
        began_at: when its writer began to count, epoch milliseconds.
        seq: grows with each measurement.
        measured_at: epoch milliseconds.
        cpu_millicores: between the last two measurements; None: there was only one.
        memory_bytes: at `measured_at`.
    """

    project_id: str
    step_s: int
    deployment_id: str
    source_id: str
    began_at: int
    at: int
    seq: int
    instance_id: str
    region: str
    measured_at: int
    cpu_millicores: int | None
    memory_bytes: int
    figures: UsageFigures
