"""How long a start has been tried for."""

from pkg.observability.metrics import Metrics
from pkg.observability.tracing import Tracing
from svc.krane.controller.instance import Instance
from svc.krane.controller.start_timings import StartTimings
from svc.krane.metrics import KraneMetrics


def test_time_without_an_engine_is_not_the_apps() -> None:
    """Promise: the start timeout runs only while the engine or cluster answers, however often it was away."""
    now = 100.0
    timings = StartTimings("dep_1", Tracing(), KraneMetrics(Metrics("krane", "i"), "local"), lambda: now)
    timings.note_contact(0, is_there=False)  # nothing was begun
    start = timings.begin(Instance("dep_1", 0), "")
    now = 110.0
    timings.note_contact(0, is_there=False)
    now = 150.0
    timings.note_contact(0, is_there=False)
    now = 200.0
    timings.note_contact(0, is_there=True)
    assert timings.tried_s(start) == 10
    now = 230.0
    timings.note_contact(0, is_there=False)
    now = 900.0
    timings.note_contact(0, is_there=True)
    assert timings.tried_s(start) == 40
