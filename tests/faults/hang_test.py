"""Promise: a process that hangs is named, ended and restarted; live deployments and deploys continue."""

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from pkg.testing.wait import WAIT_S
from svc.standalone.process import Identity
from svc.standalone.watchdog import SILENCE_LIMITS
from tests.faults.scenes import scene
from tests.harness.load import Load
from tests.harness.stack import ROOT, Stack
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(600)

CONTROL_PLANE = ("api", "worker", "krane", "restate")


def test_stopped_processes(stack: Stack, project: str, tmp_path: Path) -> None:
    """SIGSTOP in the middle of a deploy: status names each process, the app answers, the deploy becomes ready."""
    here = scene(stack, project, tmp_path / "app")
    with Load(here.url, rate_per_s=20) as asking, here.deploying("build") as ident:
        stopped = {name: stack.signal(name, signal.SIGSTOP) for name in CONTROL_PLANE}
        began = time.monotonic()
        assert set(CONTROL_PLANE) <= _named(stack)
        for name in sorted(CONTROL_PLANE, key=lambda name: SILENCE_LIMITS[name].silent_s):
            within_s = SILENCE_LIMITS[name].silent_s + WAIT_S - (time.monotonic() - began)
            eventually(partial(_is_new, stack, name, stopped[name]), within_s=within_s, what=f"{name} is ended")
            # the question before the stop may have been answered up to a round earlier
            assert time.monotonic() - began >= SILENCE_LIMITS[name].silent_s / 2
        here.becomes(ident, "ready")
    assert asking.failures == []
    here.answers("two")
    here.assert_clean(ident)


def test_a_stopped_envoy(stack: Stack, project: str, tmp_path: Path) -> None:
    """SIGSTOP of the ingress: it is back within its bound, and nothing else is ended meanwhile."""
    here = scene(stack, project, tmp_path / "app")
    others = {name: stack.process(name) for name in CONTROL_PLANE}
    stopped = stack.signal("envoy", signal.SIGSTOP)
    eventually(
        lambda: stack.process("envoy") != stopped,
        within_s=SILENCE_LIMITS["envoy"].silent_s + WAIT_S,
        what="envoy is ended",
    )
    here.answers("one")
    assert {name: stack.process(name) for name in others} == others


def _is_new(stack: Stack, name: str, before: Identity) -> bool:
    return stack.process(name) != before


def _named(stack: Stack) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "svc.standalone", "status", "--state-dir", str(stack.state)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout
    return {line.split()[0] for line in done.stdout.splitlines() if line.strip() and not line.endswith(" ok")}
