"""Promise: a krane that knows nothing yet changes nothing that is served, whatever else is away."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg.testing.wait import WAIT_S
from tests.faults.scenes import Scene, assert_no_orphans, scene
from tests.harness import engine
from tests.harness.load import Load
from tests.harness.stack import Stack
from tests.harness.wait import eventually, takes_at_most

AWAY_S = 10

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a private engine started"),
]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack with an engine of its own."""
    with Stack("") as one:
        yield one


def served_for(asking: Load, requests: int) -> None:
    """Waits for so many more answers, one every 20 ms."""
    wanted = asking.total + requests
    eventually(lambda: asking.total >= wanted, within_s=requests / 50 * 3 + WAIT_S, what="load")


@pytest.mark.parametrize("loses_state", [False, True], ids=["alone", "its state lost"])
def test_krane_killed_while_the_engine_hangs(stack: Stack, project: str, tmp_path: Path, *, loses_state: bool) -> None:
    """Of 50 requests a second to a live app none fails, however long the engine gives no answer; nor with a krane that
    has lost all that it knew."""
    here = scene(stack, project, tmp_path / "app")
    with Load(here.url, rate_per_s=50) as asking:
        served_for(asking, 10)
        with stack.frozen("engine"):
            if loses_state:
                with stack.frozen("supervisor"):
                    stack.kill("krane")
                    for file in (stack.state / "krane").iterdir():
                        file.unlink()
            else:
                stack.kill("krane")
            served_for(asking, 50 * AWAY_S)
        served_for(asking, 100)
    assert asking.failures == []
    assert set(asking.bodies) == {"one"}
    assert_no_orphans(stack)


def test_envoy_killed_while_the_engine_hangs_and_krane_is_new(stack: Stack, project: str, tmp_path: Path) -> None:
    """krane remembers where the live version answers, so that a new Envoy serves it without the engine."""
    here = scene(stack, project, tmp_path / "app")
    with stack.frozen("engine"):
        stack.kill("krane", "envoy")
        here.answers("one")

        def is_back() -> None:
            stack.kill("envoy")
            here.answers("one")

        takes_at_most(2, is_back, what="a new Envoy serves")
    still_works(stack, here)


def test_engine_killed_with_krane_down(stack: Stack, project: str, tmp_path: Path) -> None:
    """An engine that was killed and restarted unobserved costs no request."""
    here = scene(stack, project, tmp_path / "app")
    with Load(here.url, rate_per_s=50) as asking:
        with stack.frozen("supervisor"):
            stack.kill("krane")
            stack.signal("engine", signal.SIGKILL)
            served_for(asking, 100)
        eventually(lambda: engine.answers(stack.engine_socket), what="the next engine answers")
        served_for(asking, 100)
    assert asking.failures == []
    still_works(stack, here)


def still_works(stack: Stack, here: Scene) -> None:
    """A deploy goes live afterwards."""
    eventually(stack.is_ready, within_s=60, what="every part works again")
    with here.deploying("build", slow_s=0) as ident:
        here.becomes(ident, "ready")
    here.answers("two")
    here.assert_clean(ident)


def test_status_tells_that_the_engine_hangs(stack: Stack, project: str, tmp_path: Path) -> None:
    """Meanwhile the status says that it is known from probes only, since when, and why; afterwards it does not."""
    here = scene(stack, project, tmp_path / "app")

    def shown() -> str:
        done = stack.sealift("status", here.live_id)
        assert done.code == 0, done.err
        return done.out

    assert "last seen" not in shown()
    with stack.frozen("engine"):
        status = eventually(lambda: text if "last seen" in (text := shown()) else "", what="the status says so")
        assert "healthy according to probes  last seen" in status
        assert "the engine of region local does not answer: it hangs" in status
        assert stack.get(project).body == "one"
    eventually(lambda: "last seen" not in shown(), what="it is known again")
