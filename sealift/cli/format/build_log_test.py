"""A build's events as lines and steps."""

from sealift.cli.format.build_log import BuildLine, BuildLog, BuildStepEvent
from sealift.ctrl.v1 import build_pb2


def step(seq: int, state: "build_pb2.BuildStepState.ValueType", attempt: int = 1) -> build_pb2.GetBuildLogsResponse:
    return build_pb2.GetBuildLogsResponse(
        seq=seq, attempt=attempt, step=build_pb2.BuildStep(step_id="a", name="RUN x", state=state)
    )


def line(seq: int, text: str, step_id: str = "a") -> build_pb2.GetBuildLogsResponse:
    return build_pb2.GetBuildLogsResponse(seq=seq, line=build_pb2.BuildLogLine(step_id=step_id, text=text))


def test_repeated_states_are_told_once() -> None:
    """Promise: a repeated event is reported once per attempt."""
    log = BuildLog()
    done = build_pb2.BUILD_STEP_STATE_COMPLETED
    assert isinstance(log.feed(step(1, done)), BuildStepEvent)
    assert log.feed(step(2, done)) is None
    assert isinstance(log.feed(step(3, done, attempt=2)), BuildStepEvent)


def test_a_step_that_ended_well_ends_once() -> None:
    """Promise: a completed step that is then reported as cached appears once; a later failure appears."""
    log = BuildLog()
    assert log.feed(step(1, build_pb2.BUILD_STEP_STATE_STARTED))
    assert log.feed(step(2, build_pb2.BUILD_STEP_STATE_COMPLETED))
    assert log.feed(step(3, build_pb2.BUILD_STEP_STATE_CACHED)) is None
    assert log.feed(step(4, build_pb2.BUILD_STEP_STATE_FAILED))


def test_tail_is_that_of_the_failed_step() -> None:
    """Promise: the tail has the last lines of the failed step, even if other steps printed later."""
    log = BuildLog()
    log.feed(step(1, build_pb2.BUILD_STEP_STATE_STARTED))
    for number in range(50):
        shown = log.feed(line(number + 2, f"l{number}"))
        assert isinstance(shown, BuildLine)
        assert shown.step == "RUN x"
    log.feed(line(60, "other", "b"))
    assert log.tail() == ["other"]
    log.feed(step(61, build_pb2.BUILD_STEP_STATE_FAILED))
    assert log.failed_step() == "RUN x"
    assert log.tail() == [f"l{n}" for n in range(30, 50)]


def test_end_is_neither() -> None:
    """Promise: the end event is neither a line nor a step."""
    assert BuildLog().feed(build_pb2.GetBuildLogsResponse(end=build_pb2.Build())) is None
