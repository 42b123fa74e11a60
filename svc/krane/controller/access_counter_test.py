"""Requests are counted once, whatever restarts in between, and what is not known is not told."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from pkg.access import HOUR_S, MINUTE_S, AccessFigures, Answers
from svc.krane.controller.access_counter import KEPT_STEPS, AccessCounter, Step
from svc.krane.ingress.access_stats import Reading

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
START = 500_000 * HOUR_MS
DEP = "dep_a"


def figures(requests: int) -> AccessFigures:
    return AccessFigures(Answers(status_2xx=requests), bytes_out=7 * requests, latencies={9: requests})


def reading(at: int, requests: int, started_at: int = START - HOUR_MS) -> Reading:
    return Reading(started_at, at, {DEP: figures(requests)} if requests else {})


@dataclass
class Store:
    """The api's: of a record's revisions the highest is kept."""

    kept: dict[tuple[int, int, int, str], tuple[int, AccessFigures, int, bool]] = field(default_factory=dict)

    def take(self, due: list[tuple[Step, str, int]]) -> None:
        for step, deployment_id, revision in due:
            key = (step.step_s, step.at, step.part, deployment_id)
            if key not in self.kept or self.kept[key][0] <= revision:
                row = (revision, step.figures[deployment_id], step.counted_until, step.is_incomplete)
                self.kept[key] = row

    def requests(self, step_s: int) -> int:
        return sum(row[1].requests for key, row in self.kept.items() if key[0] == step_s)

    def steps(self, step_s: int) -> dict[int, int]:
        """Requests by minutes, or hours, since START."""
        found: dict[int, int] = {}
        for (length, at, _, deployment_id), row in self.kept.items():
            if length == step_s and deployment_id == DEP:
                number = (at - START) // (step_s * 1000)
                found[number] = found.get(number, 0) + row[1].requests
        return found


def told(counter: AccessCounter, store: Store) -> None:
    due = counter.due()
    store.take(due)
    counter.taken(due)


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 50),  # requests
        st.sampled_from([1_000, 10_000, 45_000, 10 * MINUTE_MS, -HOUR_MS]),  # until the reading; -: the clock jumps
        st.sampled_from(["", "", "lost", "krane", "envoy", "crash"]),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(EVENTS)
def test_each_request_is_counted_once(events: list[tuple[int, int, str]]) -> None:
    """Promise: whatever of krane, Envoy, the api and the clock fails, in minutes and in hours the sum is right."""
    counter, store = AccessCounter(), Store()
    now, started_at, counted, total = START, START - HOUR_MS, 0, 0
    latest = now
    counter.take(reading(now, 0, started_at))
    stored = counter.to_json()
    for requests, pause_ms, event in events:
        now += pause_ms
        latest = max(latest, now)
        counted, total = counted + requests, total + requests
        has_changed = counter.take(reading(now, counted, started_at), 10_000 if pause_ms < 0 else None)
        if has_changed:
            stored = counter.to_json()
        due = counter.due()
        store.take(due)
        if event == "lost":  # the api has it, and its answer was lost
            continue
        if event == "crash":  # before krane had the answer
            counter = AccessCounter.restored(stored)
            continue
        counter.taken(due)
        if event == "krane":
            counter = AccessCounter.restored(stored)
        if event == "envoy":
            now += 5_000
            counted, started_at = 0, now
    # Once the clock has passed all that it ever showed, every hour is over.
    counter.take(reading(latest + 2 * HOUR_MS, counted, started_at))
    told(counter, store)
    assert store.requests(HOUR_S) == total
    if sum(max(0, pause) for _, pause, _ in events) < KEPT_STEPS[MINUTE_S] * MINUTE_MS and not any(
        pause < 0 for _, pause, _ in events
    ):
        assert store.requests(MINUTE_S) == total


def test_the_time_without_krane_gets_its_share() -> None:
    """Promise: what came while krane was away is spread over that time, or over its hours if it was long."""
    counter, store = AccessCounter(), Store()
    counter.take(reading(START, 0))
    counter.take(reading(START + 10_000, 6), 10_000)
    counter = AccessCounter.restored(counter.to_json())
    counter.take(reading(START + 4 * MINUTE_MS + 30_000, 106))
    told(counter, store)
    assert store.steps(MINUTE_S) == {0: 26, 1: 20, 2: 20, 3: 20, 4: 20}
    counter.take(reading(START + 3 * HOUR_MS, 506))
    told(counter, store)
    assert sum(store.steps(MINUTE_S).values()) == 106
    assert store.steps(HOUR_S) == {0: 206, 1: 100, 2: 100, 3: 100}


def test_an_unknown_past_is_not_told() -> None:
    """Promise: without its state krane counts from now on, unless Envoy has just started."""
    counter, store = AccessCounter(), Store()
    counter.take(reading(START, 1_000_000))
    counter.take(reading(START + 10_000, 1_000_003), 10_000)
    told(counter, store)
    assert store.requests(MINUTE_S) == 3
    counter, store = AccessCounter(), Store()
    counter.take(reading(START, 5, started_at=START - 4_000))
    told(counter, store)
    assert store.requests(MINUTE_S) == 5


def test_a_restart_of_envoy_is_told() -> None:
    """Promise: the steps in which requests may be missing say so, and a silent minute is known to be silent."""
    counter, store = AccessCounter(), Store()
    counter.take(reading(START, 5))
    counter.take(reading(START + 60_000, 5), 60_000)
    counter.take(reading(START + 120_000, 2, started_at=START + 118_000), 60_000)
    counter.take(reading(START + 180_000, 2, started_at=START + 118_500), 60_000)
    told(counter, store)
    incomplete = {(key[1] - START) // MINUTE_MS: row[3] for key, row in store.kept.items() if key[0] == MINUTE_S}
    assert incomplete == {0: False, 1: True, 2: True, 3: False}
    assert store.requests(MINUTE_S) == 2
    until = [row[2] for key, row in store.kept.items() if key[0] == MINUTE_S and key[3] == ""]
    assert until == [START + 60_000, START + 120_000, START + 180_000, START + 180_000]


def test_what_the_api_does_not_take_is_bounded() -> None:
    """Promise: while the api is away krane keeps half an hour of minutes and a day of hours, and no more."""
    counter = AccessCounter()
    for minute in range(3000):
        counter.take(reading(START + minute * MINUTE_MS, minute), MINUTE_MS)
    lengths = [step.step_s for step in counter.steps.values()]
    assert {length: lengths.count(length) for length in lengths} == KEPT_STEPS
    told(counter, Store())
    assert len(counter.steps) <= 4
    assert counter.due() == []


def test_hours_are_told_every_five_minutes() -> None:
    """Promise: a store that only adds rows gets few revisions of an hour."""
    counter = AccessCounter()
    told_hours = 0
    for second in range(0, 3700, 10):
        counter.take(reading(START + second * 1000, second), 10_000)
        due = counter.due()
        told_hours += sum(step.step_s == HOUR_S and name == DEP for step, name, _ in due)
        counter.taken(due)
    assert 12 <= told_hours <= 15
