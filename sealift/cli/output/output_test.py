"""What the three peers show of one deploy: snapshots."""

import io
import json
import re

import pytest
from rich.console import Console

from sealift.cli.exit_codes import ExitCode
from sealift.cli.format.build_log import BuildLine, BuildStepEvent
from sealift.cli.format.deployment_text import deployment_text
from sealift.cli.format.timeline import Phase, StepEvent, Timeline
from sealift.cli.outcome import Outcome, outcome_of
from sealift.cli.output.json_lines import JsonOutput
from sealift.cli.output.plain import PlainOutput
from sealift.cli.output.port import Output
from sealift.cli.output.terminal import TerminalOutput
from sealift.cli.recorded import Recorded
from sealift.ctrl.v1 import deployment_pb2

LINES = """\
hello · production · main
warning: careful
uploaded: 2.0 KiB
deployment dep_1
{ok}Queued  0.1 s
  [1/2] FROM base  cached
  [2/2] RUN make
    cc
    1.5 s
{ok}Built  2.0 s
"""
LIVE = """
{ok}Live
{url}  Also at    http://b
  Notice     live is dep_0
  Deployment dep_1
  Total      3.0 s
"""


@pytest.fixture(autouse=True)
def an_ordinary_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the tests themselves run."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def report(output: Output) -> None:
    output.heading("hello · production · main")
    output.warn("careful")
    output.progress("uploaded", 1, 2048)
    output.progress("uploaded", 2048, 2048)
    output.created(Recorded.deployment("dep_1", "bld_1"))
    output.step(StepEvent("queued", Phase.STARTED, 1))
    output.step(StepEvent("queued", Phase.ENDED, 1, 100))
    output.step(StepEvent("building", Phase.STARTED, 1))
    output.build_step(BuildStepEvent(1, "[1/2] FROM base", "cached", 0, ""))
    output.build_step(BuildStepEvent(2, "[2/2] RUN make", "started", 0, ""))
    output.build_line(BuildLine(3, "[2/2] RUN make", "stdout", "cc"))
    output.build_step(BuildStepEvent(4, "[2/2] RUN make", "completed", 1500, ""))
    output.step(StepEvent("building", Phase.ENDED, 1, 2000))


OUTCOME = Outcome(
    code=ExitCode.OK,
    deployment_id="dep_1",
    status="ready",
    title="Live",
    url="http://a",
    also=("http://b",),
    notices=("live is dep_0",),
    total_ms=3000,
)


def test_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: plain lines on stderr, the URL on stdout."""
    output = PlainOutput()
    report(output)
    output.outcome(OUTCOME)
    shown = capsys.readouterr()
    assert shown.err == (LINES + LIVE).format(ok="ok    ", url="  URL        http://a\n")
    assert shown.out == "http://a\n"


def test_an_image_that_is_pulled_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: a FROM that ends once when it is resolved and once when it is fetched is one line, with the latter."""
    output = PlainOutput()
    base, other = "[1/2] FROM docker.io/library/base:1", "[build 1/3] FROM other"
    for number, (name, state, took) in enumerate(
        (
            (base, "started", 0), (base, "completed", 30), (other, "completed", 20),
            ("[internal] load build context", "started", 0), ("[internal] load build context", "completed", 10),
            (base, "started", 0), (base, "completed", 4200),
            ("[2/2] RUN make", "started", 0), ("[2/2] RUN make", "completed", 100),
            (base, "started", 0), (base, "completed", 5),
        )
    ):  # fmt: skip
        output.build_step(BuildStepEvent(number, name, state, took, ""))
    output.build_step(BuildStepEvent(20, other, "failed", 7, "no"))
    output.step(StepEvent("building", Phase.ENDED, 1, 5000))
    assert capsys.readouterr().err.splitlines() == [
        f"  {base}  4.2 s",
        f"  {other}  0.0 s",
        "  [2/2] RUN make  0.1 s",
        f"  {other}  failed  0.0 s",
        "ok    Built  5.0 s",
    ]
    output.build_step(BuildStepEvent(1, "[1/1] FROM last", "cached", 0, ""))
    output.step(StepEvent("building", Phase.ENDED, 1, 5000))
    assert capsys.readouterr().err.splitlines()[0] == "  [1/1] FROM last  cached"


@pytest.mark.parametrize("colour", [True, False])
def test_terminal(capsys: pytest.CaptureFixture[str], colour: bool) -> None:
    """Promise: the same lines on a terminal; the status line is removed at the end; NO_COLOR disables colours."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, no_color=not colour, highlight=False, soft_wrap=True)
    output = TerminalOutput(console)
    report(output)
    output.outcome(OUTCOME)
    output.close()
    raw = screen.getvalue()
    for line in (LINES + LIVE).format(ok="✓ ", url="  URL        http://a\n").splitlines():
        assert line.strip().removeprefix("✓ ") in raw
    assert ("\x1b[32m" in raw) is colour
    assert raw.rindex("\x1b[?25h") > raw.index("\x1b[?25l")  # the cursor is back


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: the events and their keys."""
    output = JsonOutput()
    report(output)
    output.outcome(OUTCOME)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == [
        "note", "warning", "uploaded", "created", "step", "step", "step", "build_step", "build_step", "build_line",
        "build_step", "step", "result",
    ]  # fmt: skip
    assert events[-1]["urls"] == ["http://a", "http://b"]


def test_failure_block(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: a failure shows title, log tail, reason, code and next step, and leaves stdout empty."""
    deployment = deployment_pb2.Deployment(deployment_id="dep_1", status=deployment_pb2.DEPLOYMENT_STATUS_FAILED)
    deployment.error.code, deployment.error.message, deployment.error.step = "deploy.x", "it exited with 1", "deploying"
    deployment.instances.add(instance_id="ins_1", state=deployment_pb2.INSTANCE_STATE_FAILED, reason="exit code 1")
    PlainOutput().outcome(outcome_of(deployment, 1000, []))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "\nFAILED  Deployment failed\n  it exited with 1\n  instance ins_1 is failed: exit code 1\n"
        "  Deployment dep_1\n  Total      1.0 s\n  Code       deploy.x\n  Traffic    unchanged\n"
        "  Next       sealift status dep_1\n"
    )


def test_an_end_that_was_asked_for_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: cancelled and superseded are shown neither as success nor as failure."""
    output = PlainOutput()
    output.step(StepEvent("building", Phase.FAILED, 1, 5900, "cancelled"))
    deployment = deployment_pb2.Deployment(deployment_id="dep_1", status=deployment_pb2.DEPLOYMENT_STATUS_CANCELLED)
    output.outcome(outcome_of(deployment, 6000, []))
    shown = capsys.readouterr().err
    assert "ended  Building  cancelled after 5.9 s\n" in shown
    assert "ended  Cancelled\n" in shown
    assert "FAILED" not in shown


def test_who_is_superseded_names_its_successor(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: the newer deployment's id is in the text, the next command and --json; older servers send none."""
    deployment = deployment_pb2.Deployment(deployment_id="dep_1", status=deployment_pb2.DEPLOYMENT_STATUS_SUPERSEDED)
    PlainOutput().outcome(outcome_of(deployment, 10, []))
    assert "Superseded by a newer deployment of the branch" in capsys.readouterr().err
    deployment.superseded_by_deployment_id = "dep_2"
    outcome = outcome_of(deployment, 10, [])
    PlainOutput().outcome(outcome)
    shown = capsys.readouterr().err
    assert "ended  Superseded by dep_2, a newer deployment of the branch\n" in shown
    assert "Next       sealift status --wait dep_2\n" in shown
    JsonOutput().outcome(outcome)
    result = json.loads(capsys.readouterr().out)
    assert (result["exit_code"], result["superseded_by_deployment_id"]) == (6, "dep_2")
    assert "status      superseded by dep_2\n" in deployment_text(deployment)


def test_who_came_too_late_is_told_of_the_newer_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: a ready deployment that is not live shows which one is, in text, --json and `status`."""
    deployment = deployment_pb2.Deployment(deployment_id="dep_1", status=deployment_pb2.DEPLOYMENT_STATUS_READY)
    deployment.notices.append("live is dep_2 (newer)")
    outcome = outcome_of(deployment, 10, [])
    PlainOutput().outcome(outcome)
    shown = capsys.readouterr().err
    assert "Ready, not live\n" in shown
    assert "Notice     live is dep_2 (newer)\n" in shown
    JsonOutput().outcome(outcome)
    assert json.loads(capsys.readouterr().out)["notices"] == ["live is dep_2 (newer)"]
    assert "notice      live is dep_2 (newer)" in deployment_text(deployment)


def test_quick_steps_of_the_builder_itself_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: internal build steps are shown only if they failed, were slow or printed something."""
    output = PlainOutput()
    name = "[internal] load metadata for docker.io/library/python:3.12"
    for state, duration_ms in (("completed", 20), ("cached", 0), ("completed", 3000), ("failed", 10)):
        output.build_step(BuildStepEvent(1, name, state, duration_ms, ""))
    output.build_line(BuildLine(2, "exporting to image", "stdout", "pushing"))
    output.build_step(BuildStepEvent(3, "exporting to image", "completed", 5, ""))
    assert capsys.readouterr().err == (
        f"  {name}  3.0 s\n  {name}  failed  0.0 s\n  exporting to image\n    pushing\n    0.0 s\n"
    )


def test_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: the status line shows the progress; packing leaves no line, an upload one."""
    screen = io.StringIO()
    output = TerminalOutput(Console(file=screen, force_terminal=True, width=80, highlight=False, soft_wrap=True))
    for what in ("packed", "uploaded"):
        output.progress(what, 512, 1024)
        output._live.refresh()
        output.progress(what, 1024, 1024)
    output.close()
    assert "packing  ████████████░░░░░░░░░░░░  512 B of 1.0 KiB" in screen.getvalue()
    assert "uploading  ████████████" in screen.getvalue()
    assert "packed" not in screen.getvalue()
    assert "uploaded: 1.0 KiB" in screen.getvalue()


def test_sentences_break_between_words_on_a_terminal() -> None:
    """Promise: on a narrow terminal, neither words nor URLs are broken."""
    screen = io.StringIO()
    output = TerminalOutput(Console(file=screen, width=30, highlight=False, soft_wrap=True))
    url = "http://a-very-long-name.sealift.localhost:7480"
    output.warn(f"the context contains files that look like secrets: {url} has them")
    output.close()
    lines = screen.getvalue().splitlines()
    assert url in lines
    assert all(len(line) <= 30 for line in lines if line != url)


def test_timeline_tells_each_change_once() -> None:
    """Promise: repeated states give no event; a step that ended unseen gives a start and an end."""
    steps = deployment_pb2.Deployment()
    timeline = Timeline()
    steps.steps.add(name="queued", started_at=5, ended_at=15)
    steps.steps.add(name="building", started_at=15)
    assert [(e.name, e.phase.value) for e in timeline.feed(steps.steps)] == [
        ("queued", "started"), ("queued", "ended"), ("building", "started"),
    ]  # fmt: skip
    assert timeline.feed(steps.steps) == []
    steps.steps[1].ended_at, steps.steps[1].error = 25, "no"
    assert timeline.feed(steps.steps) == [StepEvent("building", Phase.FAILED, 15, 10, "no")]


@pytest.mark.parametrize("status", [s for s in deployment_pb2.DeploymentStatus.values() if s >= 5])
def test_every_terminal_status_has_a_verdict(status: int) -> None:
    """Promise: each terminal status has an exit code; only ready and live gives 0."""
    is_ready = status == deployment_pb2.DEPLOYMENT_STATUS_READY
    for is_live in (False, True):
        ended = deployment_pb2.Deployment(deployment_id="d", status=status, is_live=is_live)  # type: ignore[arg-type]
        outcome = outcome_of(ended, 0, [])
        assert (outcome.code == 0) is (is_ready and is_live)
        assert (outcome.code == ExitCode.NOT_LIVE) is (is_ready and not is_live)


def test_ready_but_not_live(capsys: pytest.CaptureFixture[str]) -> None:
    """Promise: a deploy after a rollback shows that it is not live, and the promote command."""
    deployment = deployment_pb2.Deployment(deployment_id="dep_1", status=deployment_pb2.DEPLOYMENT_STATUS_READY)
    deployment.notices.append("environment is rolled back: promote this deployment to make it live")
    deployment.urls.append("http://hello-dep-1")
    output = PlainOutput()
    output.outcome(outcome_of(deployment, 1000, []))
    shown = capsys.readouterr()
    assert shown.out == "http://hello-dep-1\n"
    assert shown.err.startswith("\nended  Ready, not live\n  URL        http://hello-dep-1\n")
    assert "  Traffic    unchanged\n  Next       sealift promote dep_1\n" in shown.err
    JsonOutput().outcome(outcome_of(deployment, 1000, []))
    result = json.loads(capsys.readouterr().out)
    assert (result["status"], result["is_live"], result["exit_code"]) == ("ready", False, 9)


def test_long_names_of_steps_are_cut_in_the_middle() -> None:
    """Promise: at 80 columns a build step is one line with the beginning and end of its name."""
    name = "[build 3/7] RUN --mount=type=cache,target=/root/.cache pip install --no-cache-dir -r requirements/base.txt"
    screen = io.StringIO()
    output = TerminalOutput(Console(file=screen, width=80, highlight=False, soft_wrap=True))
    output.build_step(BuildStepEvent(1, name, "completed", 61_000, ""))
    output.build_line(BuildLine(2, name, "stdout", "ok"))
    output.close()
    told, heading, line = [line for line in screen.getvalue().splitlines() if line.strip()]
    assert len(told) <= 80
    assert told.startswith("  [build 3/7] RUN --mount=type=")
    assert "…" in told
    assert told.endswith("requirements/base.txt  61.0 s")
    assert len(heading) <= 80
    assert line == "    ok"


def test_the_living_line_leaves_room_for_the_echo_of_ctrl_c() -> None:
    """Promise: a ^C echoed by the terminal does not wrap the status line."""
    screen = io.StringIO()
    output = TerminalOutput(Console(file=screen, force_terminal=True, width=80, highlight=False, soft_wrap=True))
    output.step(StepEvent("building", Phase.STARTED, 1))
    output.build_step(BuildStepEvent(2, "[2/2] RUN " + "make " * 40, "started", 0, ""))
    output.close()
    last = [
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in screen.getvalue().splitlines() if "Building" in line
    ]
    assert last
    assert max(len(line.strip("\r")) for line in last) <= 80 - len("^C") - 1


def test_sentences_fit_the_window() -> None:
    """Promise: at 60 columns the outcome and `status` wrap between words; without a terminal they don't."""
    deployment = deployment_pb2.Deployment(deployment_id="dep_1", status=deployment_pb2.DEPLOYMENT_STATUS_READY)
    deployment.notices.append("environment is rolled back: promote this deployment to make it live")
    screen = io.StringIO()
    TerminalOutput(Console(file=screen, width=60, highlight=False, soft_wrap=True)).outcome(
        outcome_of(deployment, 10, [])
    )
    shown = screen.getvalue()
    assert "  Notice     environment is rolled back: promote this\n             deployment to make it live\n" in shown
    assert "notice      environment is rolled back: promote this\n            deploy" in deployment_text(deployment, 60)
    assert max(map(len, deployment_text(deployment, 60).splitlines())) <= 60
    assert "promote this deployment to make it live" in deployment_text(deployment)
