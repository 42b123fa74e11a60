"""Promise: kill -9 of the private Docker engine, too: apps run on, and every deployment ends right, exactly once."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scenes import scene
from tests.harness import apps, engine
from tests.harness.load import Load
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a private engine started"),
]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack with an engine of its own."""
    with Stack("") as one:
        yield one


@pytest.mark.parametrize("phase", ["build", "rollout"])
def test_kill_9_of_the_engine(stack: Stack, project: str, tmp_path: Path, phase: str) -> None:
    """The live version keeps answering; the next engine runs within seconds, and the work under way continues."""
    here = scene(stack, project, tmp_path / "app")
    with Load(here.url, rate_per_s=50) as asking:
        eventually(lambda: asking.total > 5, what="load")
        with here.deploying(phase) as ident:
            stack.kill("engine")
            eventually(lambda: engine.answers(stack.engine_socket), what="the next engine answers")
            here.becomes(ident, "ready")
        here.answers("two")
    assert asking.failures == []
    assert set(asking.bodies) <= {"one", "two"}
    here.assert_clean(ident)


def test_kill_9_of_everything_and_the_engine(stack: Stack, project: str, tmp_path: Path) -> None:
    """A machine that loses all of it at once is as good as new soon after."""
    here = scene(stack, project, tmp_path / "app")
    with here.deploying("build") as ident:
        stack.kill("engine", "api", "worker", "krane", "restate", "envoy")
        here.answers("one")
        here.becomes(ident, "ready")
    here.answers("two")
    here.assert_clean(ident)


def test_kill_9_of_the_engine_during_a_release(stack: Stack, project: str, tmp_path: Path) -> None:
    """The release command runs on, and is adopted: it is not started a second time."""
    toml = '[release]\ncommand = "echo begun; sleep 8; echo done"\n'
    directory = apps.app(tmp_path / "app", "one", toml=toml)

    def runs() -> bool:
        found = engine.containers(stack.engine_socket, "sealift.job")
        return any(one["State"] == "running" for one in found)

    cli = stack.start_cli("deploy", str(directory), "--project", project, "--json")
    eventually(runs, what="the release command runs")
    stack.kill("engine", "krane")
    done = finish(cli, timeout_s=180)
    assert done.code == 0, done.out + done.err
    printed = stack.sealift("logs", done.last_json["deployment_id"], "--json", "--grep", "^(begun|done)$").out
    assert [json.loads(line)["text"] for line in printed.splitlines()] == ["begun", "done"]
    eventually(lambda: engine.containers(stack.engine_socket, "sealift.job") == [], what="no job is left")
