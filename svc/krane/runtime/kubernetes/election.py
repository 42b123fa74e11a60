"""Who leads, by a Lease: the rules. Pure.

They are those of Kubernetes' own controllers (client-go's leaderelection). No time in the Lease is compared with a
clock here: a replica measures, with its own clock, how long it has seen the Lease unchanged. A leader stops by itself
when its last renewal is `RENEW_DEADLINE_S` old, counted from before it was sent; another one begins when it has seen no
renewal for the Lease's duration. So there are never two leaders, unless one clock runs half again as fast as another.
"""

from dataclasses import dataclass, replace

LEASE_DURATION_S = 15.0
RENEW_DEADLINE_S = 10.0
RETRY_INTERVAL_S = 2.0
RELEASED_DURATION_S = 1.0
_MAX_DURATION_S = 60.0


@dataclass(frozen=True)
class LeaseRecord:
    """What the Lease says.

    Attributes:
        holder: id of the leading replica; "" after it gave the leadership up.
        transitions: how often the leader has changed.
        renewed_at: differs after each renewal; not compared with any clock.
        version: of the object; a write names it and fails if the object has another one by then. "": not written yet.
    """

    holder: str
    transitions: int
    duration_s: float = LEASE_DURATION_S
    renewed_at: str = ""
    version: str = ""


class Election:
    """One candidate's view. Times are seconds of its own monotonic clock."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self._record: LeaseRecord | None = None
        self._seen_at = float("-inf")
        self._renewed_at = float("-inf")
        self._known_term = 0

    def heard_of(self, term: int) -> None:
        """There was a leader of this term; the Lease may have been made again since."""
        self._known_term = max(self._known_term, term)

    def term(self, now: float) -> int | None:
        """The number of its leadership while it leads, else None."""
        record = self._record
        if record is None or record.holder != self.identity or now - self._renewed_at >= RENEW_DEADLINE_S:
            return None
        return record.transitions + 1

    def is_follower(self, now: float) -> bool:
        """Whether another one is seen to lead."""
        record = self._record
        return record is not None and record.holder not in ("", self.identity) and now - self._seen_at < _bound(record)

    def read(self, record: LeaseRecord | None, now: float) -> None:
        """Takes in what the Lease said when it was read; None: there is none."""
        if record is None or record.holder != self.identity:
            self._renewed_at = float("-inf")
        if self._record is None or record is None or _said(record) != _said(self._record):
            self._seen_at = now
        self._record = record

    def claim(self, now: float, *, is_candidate: bool) -> LeaseRecord | None:
        """What to write now; None: nothing. `is_candidate` False: it gives up what it has, and takes nothing."""
        record = self._record
        if not is_candidate:
            return self.resignation()
        if record is None:
            return LeaseRecord(self.identity, self._known_term)
        if self.term(now) is not None:
            transitions = record.transitions if record.transitions >= self._known_term - 1 else self._known_term
            return replace(record, transitions=transitions, duration_s=LEASE_DURATION_S)
        if record.holder in ("", self.identity) or now - self._seen_at >= _bound(record):
            transitions = max(record.transitions + 1, self._known_term)
            return replace(record, holder=self.identity, transitions=transitions, duration_s=LEASE_DURATION_S)
        return None

    def resignation(self) -> LeaseRecord | None:
        """What to write so that another one leads at once; None: it does not hold the Lease.

        It leads no more from now on: the write may succeed without an answer.
        """
        record, self._renewed_at = self._record, float("-inf")
        if record is None or record.holder != self.identity:
            return None
        return replace(record, holder="", duration_s=RELEASED_DURATION_S)

    def wrote(self, record: LeaseRecord, began: float, now: float) -> None:
        """Its write, which it began at `began`, succeeded; `record` is the Lease since then."""
        self._record, self._seen_at = record, now
        self._renewed_at = began if record.holder == self.identity else float("-inf")


def _said(record: LeaseRecord) -> tuple[str, int, str]:
    return record.holder, record.transitions, record.renewed_at


def _bound(record: LeaseRecord) -> float:
    return min(max(record.duration_s, RELEASED_DURATION_S), _MAX_DURATION_S)
