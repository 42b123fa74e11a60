"""Promise: a part that hangs is named, ended and started again; what is live goes on, and a deploy too."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from svc.standalone.watchdog import BOUNDS
from tests.faults.scenes import scene
from tests.harness.load import Load
from tests.harness.stack import ROOT, Stack
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("part", ["api", "worker", "krane", "restate"])
def test_a_stopped_part(stack: Stack, project: str, tmp_path: Path, part: str) -> None:
    """SIGSTOP in the middle of a deploy: status names the part, the app answers, the deploy becomes ready."""
    here = scene(stack, project, tmp_path / "app")
    with Load(here.url, rate_per_s=20) as asking, here.deploying("build") as ident:
        stopped = stack.signal(part, signal.SIGSTOP)
        began = time.monotonic()
        assert part in _named(stack)
        eventually(lambda: stack.process(part) != stopped, within_s=BOUNDS[part].silent_s + 25, what=f"{part} is ended")
        assert time.monotonic() - began >= BOUNDS[part].silent_s - 7.1
        here.becomes(ident, "ready")
    assert asking.failures == []
    here.answers("two")
    here.assert_clean(ident)


def test_a_stopped_envoy(stack: Stack, project: str, tmp_path: Path) -> None:
    """SIGSTOP of the ingress: it is back within its bound, and nothing else is ended meanwhile."""
    here = scene(stack, project, tmp_path / "app")
    others = {part: stack.process(part) for part in ("api", "worker", "krane", "restate")}
    stopped = stack.signal("envoy", signal.SIGSTOP)
    eventually(lambda: stack.process("envoy") != stopped, within_s=BOUNDS["envoy"].silent_s + 25, what="envoy is ended")
    here.answers("one")
    assert {part: stack.process(part) for part in others} == others


def _named(stack: Stack) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "svc.standalone", "status", "--state-dir", str(stack.state)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    return " ".join(line.split()[0] for line in done.stdout.splitlines() if not line.endswith(" ok"))
