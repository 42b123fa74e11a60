"""Promise: kill -9 of any process during a release command: one run at a time, one end, and nothing is left."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from tests.faults.scenes import assert_no_orphans
from tests.harness import apps, engine
from tests.harness.stack import PROCESSES, Stack, finish
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(600)

KILLED = [("krane",), ("worker",), ("api",), ("restate",), PROCESSES]
SLOW = '[release]\ncommand = "echo begun; sleep 8; echo done"\n'


class Starts:
    """How many containers of jobs were started, and how many ran at once at most."""

    def __init__(self, stack: Stack) -> None:
        self._client = docker.APIClient(base_url=f"unix://{stack.engine_socket}", version="auto")
        labels = ["sealift.job", f"sealift.installation={stack.installation_id}"]
        self._events = self._client.events(decode=True, filters={"label": labels, "type": "container"})
        self._running: set[str] = set()
        self.started = self.most = 0
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        for event in self._events:
            if event["Action"] == "start":
                self.started += 1
                self._running.add(event["id"])
                self.most = max(self.most, len(self._running))
            elif event["Action"] == "die":
                self._running.discard(event["id"])

    def close(self) -> None:
        self._events.close()
        self._client.close()


@contextmanager
def counted(stack: Stack) -> Iterator[Starts]:
    starts = Starts(stack)
    try:
        yield starts
    finally:
        starts.close()


def jobs_on(stack: Stack) -> int:
    found = engine.containers(stack.engine_socket, "sealift.job", f"sealift.installation={stack.installation_id}")
    return len(found)


def _name(value: object) -> str:
    return "everything" if isinstance(value, tuple) and len(value) > 1 else str(value[0])  # type: ignore[index]


@pytest.mark.parametrize("killed", KILLED, ids=_name)
def test_kill_9_during_a_release(stack: Stack, project: str, tmp_path: Path, killed: tuple[str, ...]) -> None:
    """The deploy becomes ready; its command was started once, whatever was killed while it ran."""
    directory = apps.app(tmp_path / "app", "one", toml=SLOW)
    with counted(stack) as starts:
        cli = stack.start_cli("deploy", str(directory), "--project", project, "--json")
        eventually(lambda: starts.started == 1, what="the release command runs")
        stack.kill(*killed)
        done = finish(cli, timeout_s=180)
        assert done.code == 0, done.out + done.err
        assert (starts.started, starts.most) == (1, 1)
    ident = done.last_json["deployment_id"]
    assert stack.rows("SELECT status FROM jobs WHERE deployment_id = ?", ident) == [("succeeded",)]
    printed = stack.sealift("logs", ident, "--grep", "^(begun|done)$").out.split()
    assert [word for word in printed if word in ("begun", "done")] == ["begun", "done"]
    assert stack.get(project).body == "one"
    eventually(lambda: jobs_on(stack) == 0, what="no container of a job is left")
    assert_no_orphans(stack)


def test_killed_after_a_cancel_of_a_release(stack: Stack, project: str, tmp_path: Path) -> None:
    """The deploy ends as cancelled, the command with it, and the next one begins only after it."""
    directory = apps.app(tmp_path / "app", "one", toml='[release]\ncommand = "sleep 300"\n')
    with counted(stack) as starts:
        cli = stack.start_cli("deploy", str(directory), "--project", project, "--json")
        eventually(lambda: starts.started == 1, what="the release command runs")
        query = "SELECT d.id FROM deployments d JOIN projects p ON p.id = project_id WHERE slug = ?"
        ((ident,),) = stack.rows(query, project)
        assert stack.sealift("cancel", ident).code == 0
        stack.kill("krane", "worker", "api")
        assert finish(cli, timeout_s=180).code == 6
        apps.app(directory, "two", toml=SLOW)
        done = stack.deploy(directory, project, timeout_s=180)
        assert done.code == 0, done.err
        assert (starts.started, starts.most) == (2, 1)
    assert stack.status_of(ident) == "cancelled"
    eventually(lambda: jobs_on(stack) == 0, what="no container of a job is left")
    assert_no_orphans(stack)
