"""What every SQL store of telemetry has in common: the columns of its table `build_events`, statements, rows.

The statements use only what SQLite and ClickHouse both know, and name a value `:name`. A table may hold an event twice,
and events of two attempts under one number: `events_of` chooses.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from pkg.telemetry.events import BuildEvent, BuildLine, BuildStep, LogStream, StepState

LINE, STEP = "line", "step"


class Row(NamedTuple):
    """The columns but for the build's id, which comes first in the table."""

    seq: int
    attempt: int
    at: int
    kind: str  # LINE or STEP
    step_id: str
    number: int  # the stream or the state
    text: str  # a line, or a step's name
    started_at: int
    ended_at: int
    error: str


COLUMNS = Row._fields

SELECT_EVENTS = """
SELECT seq, attempt, at, kind, step_id, number, text, started_at, ended_at, error FROM build_events
WHERE build_id = :build_id AND seq > :after_seq ORDER BY seq, attempt DESC LIMIT :rows
"""
SELECT_OLD = """
SELECT build_id FROM build_events WHERE build_id IN (SELECT build_id FROM build_events WHERE at < :before)
GROUP BY build_id HAVING max(at) < :before
"""
DELETE_BUILD = "DELETE FROM build_events WHERE build_id = :build_id"


def row_of(event: BuildEvent) -> Row:
    """An event's row."""
    head = (event.seq, event.attempt, event.at)
    match event.event:
        case BuildLine(step_id, stream, text):
            return Row(*head, LINE, step_id, int(stream), text, 0, 0, "")
        case BuildStep(step_id, name, state, started_at, ended_at, error):
            return Row(*head, STEP, step_id, int(state), name, started_at, ended_at, error)


def events_of(rows: Iterable[Row | tuple[Any, ...]]) -> list[BuildEvent]:
    """The events of rows in the order of SELECT_EVENTS: of each number the first, which is the latest attempt's."""
    events: list[BuildEvent] = []
    for row in rows:
        if not events or events[-1].seq != row[0]:
            events.append(_event(row))
    return events


def _event(row: Row | tuple[Any, ...]) -> BuildEvent:
    seq, attempt, at, kind, step_id, number, text, started_at, ended_at, error = row
    if kind == LINE:
        return BuildEvent(attempt, seq, at, BuildLine(step_id, LogStream(number), text))
    return BuildEvent(attempt, seq, at, BuildStep(step_id, text, StepState(number), started_at, ended_at, error))
