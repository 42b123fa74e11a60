"""Status messages become steps and lines."""

from unittest.mock import ANY

from google.protobuf.timestamp_pb2 import Timestamp

from pkg.buildkit.pb import control_pb2 as pb
from pkg.buildkit.status import Event, Tracker, in_display_order, step_id
from pkg.output.redact import Redactor
from pkg.telemetry.events import BuildLine, BuildStep, LogStream, StepState

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def at(seconds: int) -> Timestamp:
    return Timestamp(seconds=seconds, nanos=5_000_000)


def vertex(
    digest: str = A, name: str = "[1/2] RUN x", started: int = 0, completed: int = 0, **more: object
) -> pb.Vertex:
    message = pb.Vertex(digest=digest, name=name, **more)  # type: ignore[arg-type]
    if started:
        message.started.CopyFrom(at(started))
    if completed:
        message.completed.CopyFrom(at(completed))
    return message


def log(data: bytes, digest: str = A, stream: int = 1) -> pb.StatusResponse:
    return pb.StatusResponse(logs=[pb.VertexLog(vertex=digest, stream=stream, msg=data)])


def message(*vertices: pb.Vertex) -> pb.StatusResponse:
    return pb.StatusResponse(vertexes=vertices)


def test_a_step_is_told_when_it_changes_and_only_then() -> None:
    """Pending steps are silent; repetitions, too."""
    tracker = Tracker(Redactor())
    assert tracker.feed(message(vertex())) == []
    started = BuildStep(step_id(A), "[1/2] RUN x", StepState.STARTED, 10_005)
    assert tracker.feed(message(vertex(started=10))) == [started]
    assert tracker.feed(message(vertex(started=10), vertex(started=10))) == []
    ended = BuildStep(step_id(A), "[1/2] RUN x", StepState.COMPLETED, 10_005, 12_005)
    assert tracker.feed(message(vertex(started=10, completed=12))) == [ended]
    assert tracker.steps == [ended]


def test_output_stands_between_start_and_end_of_its_step() -> None:
    """All in one message: start, lines, a last line without newline, end."""
    tracker = Tracker(Redactor())
    everything = message(vertex(started=1, completed=2))
    everything.MergeFrom(log(b"one\ntw"))
    everything.MergeFrom(log(b"o", stream=2))
    events = tracker.feed(everything)
    assert [getattr(e, "text", getattr(e, "state", None)) for e in events] == [
        StepState.STARTED, "one", "tw", "o", StepState.COMPLETED,
    ]  # fmt: skip
    assert [e.stream for e in events if isinstance(e, BuildLine)] == [
        LogStream.STDOUT,
        LogStream.STDOUT,
        LogStream.STDERR,
    ]


def states_and_lines(events: list[Event]) -> list[object]:
    return [event.text if isinstance(event, BuildLine) else event.state for event in events]


def test_the_end_of_a_step_waits_for_output_in_parts() -> None:
    """A message of 1 MiB has ends of steps before the rest of their output: no line is split, no end comes early."""
    tracker = Tracker(Redactor())
    first = message(vertex(started=1, completed=2), vertex(B, "[2/2] RUN y", started=2))
    first.MergeFrom(log(b"x" * (1 << 20) + b"\none li"))
    assert states_and_lines(tracker.feed(first)) == [StepState.STARTED, StepState.STARTED, ANY]
    assert tracker.is_open
    assert states_and_lines(tracker.feed(log(b"ne\ntw"))) == ["one line"]
    assert states_and_lines(tracker.feed(log(b"o"))) == []
    assert states_and_lines(tracker.feed(message(vertex(B, "[2/2] RUN y", started=2, completed=3)))) == [
        "two", StepState.COMPLETED, StepState.COMPLETED,
    ]  # fmt: skip
    assert not tracker.is_open


def test_a_gap() -> None:
    """What stands before and after it is not joined; a build that succeeded leaves no step without an end."""
    tracker = Tracker(Redactor())
    tracker.feed(message(vertex(started=1)))
    tracker.feed(log(b"bef"))
    assert states_and_lines(tracker.gap("lost")) == ["bef", "[lost]"]
    assert states_and_lines(tracker.feed(log(b"ter\n"))) == ["ter"]
    assert states_and_lines(tracker.finish(succeeded=True)) == [StepState.COMPLETED]
    assert not tracker.has_all_output
    tracker.feed(message(vertex(B, "exporting to image", started=3)))
    assert tracker.has_all_output


def test_states() -> None:
    """Errors beat cached beats completed; a cached step may end before it starts."""
    tracker = Tracker(Redactor())
    for given, state in (
        (vertex(started=5, completed=3, cached=True), StepState.CACHED),
        (vertex(started=5, completed=6, error="exit code: 7"), StepState.FAILED),
        (vertex(started=5, completed=6, error="exit code: 137: context canceled"), StepState.CANCELLED),
    ):
        tracker.feed(message(given))
        (step,) = tracker.steps
        assert step.state is state
        assert step.ended_at >= step.started_at
    assert tracker.failed_step() is None


def test_what_did_not_end_is_cancelled_at_the_end() -> None:
    """No step looks as if it were still running; the rest of its output is not lost."""
    tracker = Tracker(Redactor())
    tracker.feed(message(vertex(started=1), vertex(B, "[2/2] RUN y")))
    tracker.feed(log(b"no newline"))
    events = tracker.finish()
    assert [getattr(e, "text", getattr(e, "state", None)) for e in events] == ["no newline", StepState.CANCELLED]


def test_everything_is_redacted() -> None:
    """Names, errors, lines and warnings, also of secrets that the daemon shows."""
    tracker = Tracker(Redactor([b"hunter2"]))
    url = "http://h/p?sig=1"
    given = message(vertex(name=f"ADD {url} hunter2", started=1, completed=2, error=f"{url} hunter2"))
    given.MergeFrom(log(f"{url} hunter2\n".encode()))
    given.warnings.add(short=f"{url} hunter2".encode())
    reported = repr(tracker.feed(given))
    assert "hunter2" not in reported
    assert "sig=1" not in reported
    assert "warning: http://h/p?***" in reported


def test_display_order_is_the_dockerfiles() -> None:
    """Internal steps first, as they came; then by stage and number, not by the clock."""
    names = ["[internal] load", "[2/10] RUN", "[build 10/10] RUN", "[1/10] FROM", "[build 2/10] COPY", "exporting"]
    steps = [BuildStep(str(n), name, StepState.COMPLETED) for n, name in enumerate(names)]
    assert [s.name for s in in_display_order(steps)] == [
        "[internal] load", "exporting", "[1/10] FROM", "[2/10] RUN", "[build 2/10] COPY", "[build 10/10] RUN",
    ]  # fmt: skip
