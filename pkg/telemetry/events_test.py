from pkg.telemetry import LogStream, StepState
from sealift.ctrl.v1 import build_pb2


def test_numbers_are_those_of_the_protos() -> None:
    """Promise: a reader copies stream and state into the message without a table."""
    assert {s.name: s.value for s in LogStream} == {
        k.removeprefix("BUILD_LOG_STREAM_"): v for k, v in build_pb2.BuildLogStream.items() if v
    }
    assert {s.name: s.value for s in StepState} == {
        k.removeprefix("BUILD_STEP_STATE_"): v for k, v in build_pb2.BuildStepState.items() if v
    }
