"""Requests by deployment, minute and hour, from what an Envoy has counted since its start. Pure.

Each reading adds what came since the one before it. A report tells all of a step so far, under a revision that grows,
so that one that is sent twice changes nothing. The state outlives this process (`to_json`), as Envoy does: nothing is
counted twice, and nothing is lost while krane is away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from pkg.access import HOUR_S, MINUTE_S, STEPS_S, AccessFigures, Answers
from pkg.access.latency import from_text, to_text
from svc.krane.ingress.access_stats import Reading

# Two readings of one Envoy may differ by so much in when it started: its uptime is told in whole seconds.
SAME_START_MS = 3_000
# What an Envoy counted that krane never read belongs to the present if it started this recently; else it may have been
# reported before, by a krane whose state is lost.
FRESH_MS = 60_000
# Requests of a time without readings are spread evenly over its minutes, or over its hours alone if it was longer.
MAX_SPREAD_MINUTES = 60
# Of steps that the api has not taken: what is older is given up, and unknown.
KEPT_STEPS = {MINUTE_S: 30, HOUR_S: 24}
# Hours are reported again after so long, and when they are over.
HOURS_EVERY_MS = 300_000
# A step that is over may still get what a reading across its end adds.
SETTLED_MS = 60_000


@dataclass
class Step:
    """One minute or hour.

    Attributes:
        part: distinguishes it from one of the same time that was finished before, e.g. after a jump of the clock.
        figures: by deployment; "" is always there.
        changed: the revision in which the figures of a deployment changed last.
        taken: the revision that the api took last, by deployment.
    """

    step_s: int
    at: int
    part: int
    counted_until: int
    is_incomplete: bool = False
    figures: dict[str, AccessFigures] = field(default_factory=lambda: {"": AccessFigures()})
    changed: dict[str, int] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    reported_at: int = 0

    @property
    def ends(self) -> int:
        """Epoch milliseconds."""
        return self.at + self.step_s * 1000

    def untaken(self) -> list[str]:
        """Deployments whose figures the api does not have."""
        return [one for one, revision in self.changed.items() if self.taken.get(one, 0) < revision]


class AccessCounter:
    """The figures of one Envoy that are not reported yet, and what it had counted at the last reading."""

    def __init__(self) -> None:
        self._started_at: int | None = None
        self._read_at = 0
        self._counted: dict[str, AccessFigures] = {}
        self._parts = 0
        self._revision = 0
        self.steps: dict[tuple[int, int], Step] = {}

    def take(self, reading: Reading, elapsed_ms: int | None = None) -> bool:
        """Adds what was counted since the last reading; whether the state must be kept.

        `elapsed_ms`: since the last reading by a clock that does not jump; None: unknown, another process read it.
        """
        new = self._new(reading)
        is_first = self._started_at is None
        is_other = self._started_at is not None and abs(reading.started_at - self._started_at) > SAME_START_MS
        begin = self._begin(reading, elapsed_ms)
        self._revision = max(self._revision + 1, reading.at)
        self._add(new, begin, reading.at, is_incomplete=is_other)
        self._started_at, self._read_at, self._counted = reading.started_at, reading.at, dict(reading.figures)
        self._give_up()
        return bool(new) or is_first or is_other

    def _new(self, reading: Reading) -> dict[str, AccessFigures]:
        earlier = self._counted
        if self._started_at is None:
            earlier = {} if reading.at - reading.started_at < FRESH_MS else dict(reading.figures)
        elif abs(reading.started_at - self._started_at) > SAME_START_MS:
            earlier = {}
        none = AccessFigures()
        new = {one: figures.since(earlier.get(one, none)) for one, figures in reading.figures.items()}
        return {one: figures for one, figures in new.items() if not figures.is_none}

    def _begin(self, reading: Reading, elapsed_ms: int | None) -> int:
        """When the time began that the reading adds; the present where clocks contradict each other."""
        if self._started_at is None:
            return reading.at
        passed = reading.at - self._read_at
        if passed < 0 or (elapsed_ms is not None and abs(passed - elapsed_ms) > SETTLED_MS // 2):
            return reading.at
        return self._read_at

    def _add(self, new: dict[str, AccessFigures], begin: int, now: int, *, is_incomplete: bool) -> None:
        for step_s in STEPS_S:
            step_ms = step_s * 1000
            ats = list(range(begin - begin % step_ms, now + 1, step_ms))
            if step_s == MINUTE_S and len(ats) > MAX_SPREAD_MINUTES:
                continue
            ats = ats[-KEPT_STEPS[HOUR_S] :] if step_s == HOUR_S else ats
            # between two readings in a row: the minute in which most of the time was
            shares = [(begin + now) // 2] if now - begin < step_ms else ats
            shares = [at - at % step_ms for at in shares]
            for at in ats:
                step = self._step(step_s, at)
                step.counted_until = max(step.counted_until, min(step.ends, now))
                step.is_incomplete = step.is_incomplete or is_incomplete
                step.changed[""] = self._revision
            for deployment_id, figures in new.items():
                for at, share in zip(shares, figures.split(len(shares)), strict=True):
                    step = self._step(step_s, at)
                    step.figures[deployment_id] = step.figures.get(deployment_id, AccessFigures()) + share
                    step.changed[deployment_id] = self._revision

    def _step(self, step_s: int, at: int) -> Step:
        if (step_s, at) not in self.steps:
            self._parts += 1
            self.steps[step_s, at] = Step(step_s, at, self._parts, at)
        return self.steps[step_s, at]

    def _give_up(self) -> None:
        for step_s, kept in KEPT_STEPS.items():
            ats = sorted(at for length, at in self.steps if length == step_s)
            for at in ats[:-kept]:
                del self.steps[step_s, at]

    def due(self) -> list[tuple[Step, str, int]]:
        """What the api is to be told: steps, deployments, and revisions; minutes first, the oldest first."""
        now = self._read_at
        return [
            (step, deployment_id, step.changed[deployment_id])
            for _, step in sorted(self.steps.items())
            if step.step_s == MINUTE_S or now >= step.ends or now - step.reported_at >= HOURS_EVERY_MS
            for deployment_id in step.untaken()
        ]

    def taken(self, told: Sequence[tuple[Step, str, int]]) -> None:
        """The api has these. Steps that are over and told are forgotten."""
        for step, deployment_id, revision in told:
            step.taken[deployment_id] = revision
            step.reported_at = self._read_at
        for key, step in list(self.steps.items()):
            if self._read_at - step.ends > SETTLED_MS and not step.untaken():
                del self.steps[key]

    def to_json(self) -> bytes:
        """The state, for `restored`."""
        return msgspec.json.encode(
            _State(
                self._started_at,
                self._read_at,
                {one: _row(figures) for one, figures in self._counted.items()},
                self._parts,
                self._revision,
                [
                    _StepState(
                        step.step_s,
                        step.at,
                        step.part,
                        step.counted_until,
                        step.is_incomplete,
                        {one: _row(figures) for one, figures in step.figures.items()},
                        step.changed,
                        step.taken,
                    )
                    for step in self.steps.values()
                ],
            )
        )

    @classmethod
    def restored(cls, content: bytes) -> "AccessCounter":
        """From what `to_json` wrote. Raises ValueError for anything else."""
        state = msgspec.json.decode(content, type=_State)
        counter = cls()
        counter._started_at, counter._read_at = state.started_at, state.read_at
        counter._counted = {one: _figures(row) for one, row in state.counted.items()}
        counter._parts, counter._revision = state.parts, state.revision
        for one in state.steps:
            figures = {deployment_id: _figures(row) for deployment_id, row in one.figures.items()}
            counter.steps[one.step_s, one.at] = Step(
                one.step_s, one.at, one.part, one.counted_until, one.is_incomplete, figures, one.changed, one.taken
            )
        return counter


_Row = tuple[list[int], list[int], int, int, int, str]


class _StepState(msgspec.Struct, array_like=True):
    step_s: int
    at: int
    part: int
    counted_until: int
    is_incomplete: bool
    figures: dict[str, _Row]
    changed: dict[str, int]
    taken: dict[str, int]


class _State(msgspec.Struct):
    started_at: int | None
    read_at: int
    counted: dict[str, _Row]
    parts: int
    revision: int
    steps: list[_StepState]


def _row(figures: AccessFigures) -> _Row:
    latencies = to_text(figures.latencies)
    return list(figures.app), list(figures.ingress), figures.unanswered, figures.bytes_in, figures.bytes_out, latencies


def _figures(row: _Row) -> AccessFigures:
    app, ingress, unanswered, bytes_in, bytes_out, latencies = row
    return AccessFigures(Answers(*app), Answers(*ingress), unanswered, bytes_in, bytes_out, from_text(latencies))
