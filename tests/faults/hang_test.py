"""Promise: a part that hangs is named, ended and started again; what is live goes on, and a deploy too."""

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from svc.standalone.process import Identity
from svc.standalone.watchdog import BOUNDS
from tests.faults.scenes import scene
from tests.harness.load import Load
from tests.harness.stack import ROOT, Stack
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(180)

CONTROL_PLANE = ("api", "worker", "krane", "restate")


def test_stopped_parts(stack: Stack, project: str, tmp_path: Path) -> None:
    """SIGSTOP in the middle of a deploy: status names each part, the app answers, the deploy becomes ready."""
    here = scene(stack, project, tmp_path / "app")
    with Load(here.url, rate_per_s=20) as asking, here.deploying("build") as ident:
        stopped = {part: stack.signal(part, signal.SIGSTOP) for part in CONTROL_PLANE}
        began = time.monotonic()
        assert set(CONTROL_PLANE) <= _named(stack)
        for part in sorted(CONTROL_PLANE, key=lambda part: BOUNDS[part].silent_s):
            within_s = BOUNDS[part].silent_s + 25 - (time.monotonic() - began)
            eventually(partial(_is_new, stack, part, stopped[part]), within_s=within_s, what=f"{part} is ended")
            # the question before the stop may have been answered up to a round earlier
            assert time.monotonic() - began >= BOUNDS[part].silent_s - 7.1
        here.becomes(ident, "ready")
    assert asking.failures == []
    here.answers("two")
    here.assert_clean(ident)


def test_a_stopped_envoy(stack: Stack, project: str, tmp_path: Path) -> None:
    """SIGSTOP of the ingress: it is back within its bound, and nothing else is ended meanwhile."""
    here = scene(stack, project, tmp_path / "app")
    others = {part: stack.process(part) for part in CONTROL_PLANE}
    stopped = stack.signal("envoy", signal.SIGSTOP)
    eventually(lambda: stack.process("envoy") != stopped, within_s=BOUNDS["envoy"].silent_s + 25, what="envoy is ended")
    here.answers("one")
    assert {part: stack.process(part) for part in others} == others


def _is_new(stack: Stack, part: str, before: Identity) -> bool:
    return stack.process(part) != before


def _named(stack: Stack) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "svc.standalone", "status", "--state-dir", str(stack.state)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    return {line.split()[0] for line in done.stdout.splitlines() if line.strip() and not line.endswith(" ok")}
