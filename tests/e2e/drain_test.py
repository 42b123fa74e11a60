"""Promise: an upgrade loses no deploy and leaves none stuck: what runs ends first, what comes meanwhile goes later."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from svc.standalone import drain
from svc.standalone.process import read_pidfile
from svc.standalone.statedir import StateDir
from tests.harness import apps
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually


@pytest.fixture(scope="module")
def stack(engine_socket: str) -> Iterator[Stack]:
    """A separate stack: a drain stops the deploys of all tests on it."""
    with Stack(engine_socket) as one:
        yield one


def test_an_upgrade_loses_no_deploy(stack: Stack, tmp_path: Path) -> None:
    """A deploy under way ends ready; one of meanwhile is taken, waits, survives a kill, and goes live exactly once."""
    for project in ("runs", "waits"):
        assert stack.sealift("projects", "create", project).code == 0
    running = stack.start_cli("deploy", str(_slow(tmp_path / "runs", 3)), "--project", "runs", "--json")
    first = _building(stack)
    draining = stack.start_command("drain")
    eventually(lambda: _is_draining(stack), what="the drain is active")
    queued = stack.deploy(apps.app(tmp_path / "waits", "two"), "waits", "--detach")
    assert queued.code == 0, queued.err
    assert "queued: the server is being upgraded; it starts afterwards" in queued.out
    second = queued.last_json["deployment_id"]
    followed = stack.start_cli("status", "--wait", second)
    assert followed.stderr is not None
    lines = [followed.stderr.readline() for _ in range(2)]
    assert lines == [f"deployment {second}\n", "queued: the server is being upgraded; it starts afterwards\n"]
    stack.kill("api", "worker", "restate")  # all come back into the drain

    ended = finish(running)
    assert ended.code == 0, ended.err
    assert stack.get("runs").body == "hello"
    drained = finish(draining)
    assert drained.code == 0, drained.out + drained.err
    assert f"{first}  deploy: building" in drained.out
    assert f"{first}  ready" in drained.out
    assert second not in drained.out
    assert "1 recorded meanwhile" in drained.out
    assert "draining since" in stack.command("status").stdout
    assert finish(stack.start_command("drain")).code == 0, "twice is fine"
    shown = stack.sealift("status", second).out
    assert "pending" in shown
    assert "queued      the server is being upgraded" in shown
    assert _invocations(stack, second) == [(None,)]

    os.kill(stack.process("supervisor").pid, signal.SIGKILL)
    stack.up()
    rest = followed.stderr.read()
    assert finish(followed).code == 0, rest
    assert "queued:" not in rest
    assert not _is_draining(stack)
    assert stack.get("waits").body == "two"
    assert len(stack.containers(second)) == 1
    assert stack.rows("SELECT attempt FROM builds WHERE deployment_id = ?", second) == [(1,)]


def test_interrupted_or_out_of_time(stack: Stack, project: str, tmp_path: Path) -> None:
    """Interrupted, it ends its drain; out of time, it cancels what it can; what waits can be cancelled at once."""
    other = f"{project}-b"
    assert stack.sealift("projects", "create", other).code == 0
    stuck = stack.start_cli("deploy", str(_slow(tmp_path / "stuck", 60)), "--project", project, "--json")
    slow = _building(stack)
    draining = stack.start_command("drain")
    eventually(lambda: _is_draining(stack), what="the drain is active")
    waiting = stack.start_cli("deploy", str(apps.app(tmp_path / "other")), "--project", other, "--json")
    eventually(lambda: _pending(stack), what="a deploy waits")
    draining.send_signal(signal.SIGINT)
    assert finish(draining).code == 130
    done = finish(waiting)
    assert done.code == 0, done.err
    assert stack.get(other).body == "hello"

    drained = finish(stack.start_command("drain", "--timeout-s", "0"))
    assert drained.code == 0, drained.out + drained.err
    assert f"Cancelled: {slow}" in drained.out
    assert finish(stuck).last_json["status"] == "cancelled"
    late = stack.deploy(tmp_path / "other", other, "--detach").last_json["deployment_id"]
    assert "is cancelled" in stack.sealift("cancel", late).err
    assert stack.command("drain", "--undo").returncode == 0
    assert not _is_draining(stack)
    eventually(lambda: _invocations(stack, late) != [(None,)], what="the outbox is emptied")
    assert stack.status_of(late) == "cancelled"


def test_what_can_not_end(stack: Stack, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked to, it ends in the workflow engine what a cancel does not: the next api ends it as failed."""
    monkeypatch.setattr(drain, "CANCEL_WAIT_S", 1.0)
    printed: list[str] = []
    stuck = stack.start_cli("deploy", str(_slow(tmp_path / "stuck", 60)), "--project", project, "--json")
    slow = _building(stack)
    state = StateDir(stack.state)
    with stack.frozen("supervisor"):  # nothing restarts the worker
        stack.kill("worker")
        assert not asyncio.run(drain.drain(state, 0, printed.append))
        assert any(line.startswith("Still under way: ") and slow in line for line in printed)
        assert not _is_draining(stack)
        assert asyncio.run(drain.drain(state, 0, printed.append, may_kill=True))
        assert any(f"Deploy/{slow}/run" in line for line in printed)
    stack.kill("api")
    ended = finish(stuck)
    assert (ended.last_json["status"], ended.last_json["code"]) == ("failed", "internal.workflow_lost")
    assert _is_draining(stack)
    assert stack.command("drain", "--undo").returncode == 0


def test_an_operators_drain_outlives_restarts(stack: Stack, project: str, tmp_path: Path) -> None:
    """A start ends the upgrade's drain, only once every process works, and leaves the operator's; kill -9 between."""
    assert finish(stack.start_command("drain", "--reason", "operator")).code == 0
    assert finish(stack.start_command("drain")).code == 0
    both = [("operator", "admin"), ("upgrade", "supervisor")]
    assert _active(stack) == both
    queued = stack.deploy(apps.app(tmp_path / "waits", "three"), project, "--detach")
    assert "queued: an operator holds new work back" in queued.out
    ident = queued.last_json["deployment_id"]

    os.kill(stack.process("supervisor").pid, signal.SIGKILL)
    eventually(lambda: read_pidfile(stack.state / "run/api.pid") is None, what="its children end")
    cut_off = stack.start_command("up")
    os.kill(stack.process("supervisor").pid, signal.SIGKILL)
    cut_off.communicate()
    assert _active(stack) == both

    stack.up()
    eventually(lambda: _active(stack) == both[:1], what="the upgrade's drain is ended")
    stack.kill("api", "worker")
    eventually(stack.is_ready, within_s=60, what="every process works again")
    shown = stack.command("status").stdout
    assert "(operator, begun by key admin)" in shown
    assert "drain --undo --id drain_" in shown
    assert stack.command("drain", "--undo").returncode == 0, "there is no upgrade's drain to end"
    assert _active(stack) == both[:1]
    assert (stack.status_of(ident), _invocations(stack, ident)) == ("pending", [(None,)])

    ended = stack.command("drain", "--undo", "--reason", "operator")
    assert (ended.returncode, ended.stdout) == (0, "No drain is active: queued deploys start now.\n")
    assert stack.sealift("status", "--wait", ident).code == 0
    assert stack.get(project).body == "three"


def _slow(directory: Path, seconds: int) -> Path:
    return apps.app(directory, build=f"RUN sleep {seconds}")


def _building(stack: Stack) -> str:
    """The deployment whose build runs; waits for one."""
    query = "SELECT deployment_id FROM builds WHERE status = 'running'"
    return str(eventually(lambda: stack.rows(query), what="a build runs")[0][0])


def _pending(stack: Stack) -> bool:
    return bool(stack.rows("SELECT 1 FROM deployments WHERE status = 'pending'"))


def _is_draining(stack: Stack) -> bool:
    return _active(stack) != []


def _active(stack: Stack) -> list[tuple[object, ...]]:
    return stack.rows("SELECT reason, client FROM drains WHERE ended_at IS NULL ORDER BY reason")


def _invocations(stack: Stack, deployment_id: str) -> list[tuple[object, ...]]:
    return stack.rows("SELECT invocation_id FROM dispatches WHERE key = ?", deployment_id)
