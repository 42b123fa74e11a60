"""No output is lost after the solve, and withheld output is marked; the control API is a stand-in."""

import asyncio
from collections.abc import Sequence

import grpc.aio
import pytest

from pkg.buildkit import follow
from pkg.buildkit.pb import control_pb2 as pb
from pkg.buildkit.solver import solve
from pkg.buildkit.status import Event
from pkg.buildkit.testing import Daemon, spec
from pkg.output.redact import Redactor
from pkg.telemetry.events import BuildLine, BuildStep, StepState
from pkg.testing.wait import WAIT_S

LARGE = b"x" * 1000 + b"\n"


class Log:
    """A consumer that needs some time."""

    def __init__(self, seconds: float = 0) -> None:
        self._seconds = seconds
        self.lines: list[str] = []
        self.steps: list[BuildStep] = []

    async def __call__(self, events: Sequence[Event]) -> None:
        await asyncio.sleep(self._seconds)
        self.lines += [event.text for event in events if isinstance(event, BuildLine)]
        self.steps += [event for event in events if isinstance(event, BuildStep)]


def output(text: bytes) -> pb.StatusResponse:
    return pb.StatusResponse(logs=[pb.VertexLog(vertex="v", stream=1, msg=text)])


def step(name: str, *, ended: bool) -> pb.Vertex:
    vertex = pb.Vertex(digest="v" if "RUN" in name else name, name=name)
    vertex.started.seconds = 1
    if ended:
        vertex.completed.seconds = 2
    return vertex


@pytest.mark.parametrize(("takes_s", "comes_s"), [(0.4, 0), (0, 0.1)], ids=["reader", "daemon"])
async def test_output_after_the_solve(
    daemon: Daemon, channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch, takes_s: float, comes_s: float
) -> None:
    """The solve answers long before its output was sent or stored: all of it arrives, however long that takes."""
    monkeypatch.setattr(follow, "QUIET_S", 0.3)
    daemon.messages, daemon.pause_s = [output(f"{n}\n".encode()) for n in range(8)], comes_s
    log = Log(takes_s)
    await solve(channel, spec(), Redactor(), log)
    assert log.lines == [str(n) for n in range(8)]


async def test_a_status_that_is_stuck(daemon: Daemon, channel: grpc.aio.Channel) -> None:
    """BuildKit before 0.10 sends empty messages for ever after 1 MiB at once: the rest comes by another status."""
    large = pb.StatusResponse(vertexes=[step("[1/1] RUN x", ended=False)])
    large.logs.add(vertex="v", stream=1, msg=LARGE * 1100)
    daemon.messages, daemon.is_stuck = [large, output(b"in parts\nand to")], True
    end = pb.StatusResponse(vertexes=[step("[1/1] RUN x", ended=True)])
    daemon.later = [output(b"rn\nlater\n"), end]
    log = Log()
    await asyncio.wait_for(solve(channel, spec(), Redactor(), log), WAIT_S)
    assert log.lines[1100:] == ["in parts", "and to", f"[{follow.GAP}]", "rn", "later"]
    assert [one.state for one in log.steps] == [StepState.STARTED, StepState.COMPLETED]


async def test_empty_messages_of_a_newer_daemon(daemon: Daemon, channel: grpc.aio.Channel) -> None:
    """A newer BuildKit goes on after 1 MiB at once and empty messages: nothing is lost, repeated or marked."""
    large = pb.StatusResponse(vertexes=[step("[1/1] RUN x", ended=False)])
    large.logs.add(vertex="v", stream=1, msg=LARGE * 1100)
    end = pb.StatusResponse(vertexes=[step("[1/1] RUN x", ended=True)])
    daemon.messages = [large, *[pb.StatusResponse()] * (2 * follow.EMPTY_MESSAGES), output(b"later\n"), end]
    daemon.later = daemon.messages
    log = Log()
    await asyncio.wait_for(solve(channel, spec(), Redactor(), log), WAIT_S)
    assert log.lines[1100:] == ["later"]
    assert [one.state for one in log.steps] == [StepState.STARTED, StepState.COMPLETED]


async def test_a_status_that_is_stuck_at_its_end(daemon: Daemon, channel: grpc.aio.Channel) -> None:
    """Once the export has started, no output is missing, and no gap is reported."""
    large = pb.StatusResponse(vertexes=[step("[1/1] RUN x", ended=True), step("exporting to image", ended=True)])
    large.logs.add(vertex="v", stream=1, msg=LARGE * 1100)
    daemon.messages, daemon.is_stuck = [large, output(b"last\n")], True
    log = Log()
    await asyncio.wait_for(solve(channel, spec(), Redactor(), log), WAIT_S)
    assert log.lines[1100:] == ["last"]
    assert [one.state for one in log.steps] == [StepState.STARTED] * 2 + [StepState.COMPLETED] * 2


async def test_an_end_that_does_not_come(
    daemon: Daemon, channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build succeeded and its status did not end: the log says that something may be missing."""
    monkeypatch.setattr(follow, "QUIET_S", 0.2)
    daemon.messages, daemon.status_ends = [output(b"one\n")], False
    log = Log()
    await asyncio.wait_for(solve(channel, spec(), Redactor(), log), WAIT_S)
    assert log.lines == ["one", f"[{follow.CUT}]"]
