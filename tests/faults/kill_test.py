"""Promise: kill -9 of any process at any moment; every deployment ends right, exactly once, and leaves no orphans."""

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from tests.faults.scenes import PHASES, Scene, assert_no_orphans, scene
from tests.harness import apps
from tests.harness.http import Answer
from tests.harness.load import Load
from tests.harness.stack import PROCESSES, Stack
from tests.harness.wait import eventually, takes_at_most

KILLED = [*((name,) for name in PROCESSES), PROCESSES]
ALL_BUT_ENVOY = ("api", "worker", "krane", "restate")

pytestmark = pytest.mark.timeout(600)


def _name(value: object) -> str:
    if isinstance(value, tuple):
        return "everything" if len(value) > 1 else str(value[0])
    return str(value)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("killed", KILLED, ids=_name)
def test_kill_9(stack: Stack, project: str, tmp_path: Path, killed: tuple[str, ...], phase: str) -> None:
    """The deploy that was under way becomes ready once; while Envoy lives, the live version answers all along."""
    here = scene(stack, project, tmp_path / "app")
    with contextlib.ExitStack() as load:
        with here.deploying(phase) as ident:
            asking = _load(here, load) if phase != "routing" and "envoy" not in killed else None
            stack.kill(*killed)
            if phase != "routing":
                here.becomes(ident, "ready")
        if phase == "routing" and "envoy" not in killed:
            asking = _load(here, load)
        here.becomes(ident, "ready")
        here.answers("two")
    if asking is not None:
        assert asking.failures == []
        assert set(asking.bodies) <= {"one", "two"}
    here.assert_clean(ident)


def _load(here: Scene, stack: contextlib.ExitStack) -> Load:
    asking = stack.enter_context(Load(here.url, rate_per_s=50))
    eventually(lambda: asking.total > 5, what="load")
    return asking


def test_killed_again_while_it_recovers(stack: Stack, project: str, tmp_path: Path) -> None:
    """Everything is killed, and each process once more as soon as it is back: the deploy still becomes ready, once."""
    here = scene(stack, project, tmp_path / "app")
    with here.deploying("build") as ident:
        for _ in range(2):
            stack.kill(*PROCESSES)
            for name in PROCESSES:
                stack.process(name)
        stack.kill(*PROCESSES)
        here.becomes(ident, "ready")
    here.answers("two")
    here.assert_clean(ident)


@pytest.mark.parametrize(
    "killed", [("worker",), ("api", "worker", "krane", "restate")], ids=["worker", "all but envoy"]
)
@pytest.mark.parametrize("phase", ["build", "rollout"])
def test_killed_after_a_cancel(stack: Stack, project: str, tmp_path: Path, phase: str, killed: tuple[str, ...]) -> None:
    """A cancel that was accepted holds: the deployment ends cancelled, and nothing of it is left."""
    here = scene(stack, project, tmp_path / "app")
    with here.deploying(phase, slow_s=60) as ident:
        done = stack.sealift("cancel", ident)
        stack.kill(*killed)
        assert done.code == 0, done.err
        here.becomes(ident, "cancelled")
    here.answers("one")
    eventually(lambda: not stack.containers(ident), what="no container is left")
    assert stack.rows("SELECT hostname FROM routes WHERE deployment_id = ?", ident) == []
    eventually(
        lambda: stack.rows("SELECT 1 FROM builds WHERE deployment_id = ? AND ended_at IS NULL", ident) == [],
        what="the build has ended",
    )


@pytest.mark.parametrize("killed", [("worker",), ("krane",), PROCESSES], ids=_name)
def test_killed_during_a_rollback(stack: Stack, project: str, tmp_path: Path, killed: tuple[str, ...]) -> None:
    """A rollback that has moved its routes is served once everything is back, and counts as done once."""
    here = scene(stack, project, tmp_path / "app")
    with here.deploying("build", slow_s=0) as ident:
        here.becomes(ident, "ready")
    here.answers("two")
    with stack.frozen("envoy"):
        cli = stack.start_cli("rollback", "--project", project, "--json")
        taken = "SELECT 1 FROM routes WHERE deployment_id = ? AND sticky = 'live'"
        eventually(lambda: stack.rows(taken, here.live_id), what="the routes were given back")
        stack.kill(*killed)
    ended = "SELECT status FROM operations WHERE deployment_id = ? AND ended_at IS NOT NULL"
    eventually(lambda: stack.rows(ended, here.live_id), within_s=60, what="the rollback ends")
    assert stack.rows(ended, here.live_id) == [("done",)]
    out, err = cli.communicate(timeout=60)
    assert cli.returncode == 0, out + err
    here.answers("one")
    here.assert_clean(ident)


@pytest.mark.parametrize("killed", [("worker",), ("krane",), PROCESSES], ids=_name)
def test_killed_during_a_take_down(stack: Stack, project: str, tmp_path: Path, killed: tuple[str, ...]) -> None:
    """It is done once everything is back: visitors read that the app is stopped, nothing of it is left."""
    here = scene(stack, project, tmp_path / "app")
    with stack.frozen("envoy"):
        cli = stack.start_cli("stop", "--live", "--project", project, "--yes", "--json")
        stopped = "SELECT sticky FROM routes WHERE hostname LIKE ? AND answer = 'stopped' AND deployment_id IS NULL"
        eventually(lambda: stack.rows(stopped, f"{project}%"), what="the routes are answers")
        assert stack.containers(here.live_id), "an instance ended while the ingress could still send it requests"
        stack.kill(*killed)
    out, err = cli.communicate(timeout=90)
    assert cli.returncode == 0, out + err
    told = eventually(lambda: _told_stopped(stack, project), within_s=60, what="visitors are told")
    assert told.headers["x-sealift-error"] == "ingress.stopped"
    assert {sticky for (sticky,) in stack.rows(stopped, f"{project}%")} == {"live", "environment", "branch"}
    eventually(lambda: not stack.containers(here.live_id), within_s=60, what="its containers are gone")
    assert stack.rows("SELECT hostname FROM routes WHERE deployment_id = ?", here.live_id) == []
    stack.kill("envoy", "krane")
    eventually(lambda: _told_stopped(stack, project), what="visitors are told by a new Envoy, too")
    back = stack.sealift("promote", here.live_id, "--project", project, "--yes", timeout_s=90)
    assert back.code == 0, back.err
    here.answers("one")


def _told_stopped(stack: Stack, project: str) -> Answer | None:
    try:
        answer = stack.get(project)
    except OSError:
        return None
    return answer if answer.status == 503 and "is stopped" in answer.body else None


@pytest.mark.parametrize(
    "killed", [("krane",), ("api", "worker"), PROCESSES], ids=["krane", "api and worker", "everything"]
)
def test_killed_during_a_scale_and_a_restart(
    stack: Stack, project: str, tmp_path: Path, killed: tuple[str, ...]
) -> None:
    """Both are done once everything is back, without a lost request while Envoy lives; all containers are others."""
    here = scene(stack, project, tmp_path / "app")
    with contextlib.ExitStack() as load:
        asking = _load(here, load) if "envoy" not in killed else None
        told = (
            "SELECT 1 FROM environments e JOIN deployments d ON environment_id = e.id WHERE d.id = ? AND replicas = 2"
        )
        _killed_during(here, killed, "scale", "2", since=told)
        eventually(lambda: len(stack.containers(here.live_id)) == 2, within_s=120, what="two containers")
        before = {one["Id"] for one in stack.containers(here.live_id)}
        began = "SELECT 1 FROM instances WHERE deployment_id = ? AND restart_generation > 0"
        _killed_during(here, killed, "restart", since=began)
        eventually(lambda: len(stack.containers(here.live_id)) == 2, within_s=120, what="two containers again")
        here.answers("one")
    assert not before & {one["Id"] for one in stack.containers(here.live_id)}
    if asking is not None:
        assert asking.failures == []
        assert set(asking.bodies) == {"one"}
    listed = stack.sealift("ps", "--project", project, "--json")
    found = [json.loads(line) for line in listed.out.splitlines()]
    assert [(one["replica"], one["state"], one["replicas"]) for one in found] == [(0, "healthy", 2), (1, "healthy", 2)]
    assert_no_orphans(stack)


def _killed_during(here: Scene, killed: tuple[str, ...], *command: str, since: str) -> None:
    """Runs the command and kills once `since` finds a row, given the live deployment; it is done all the same."""
    cli = here.stack.start_cli(*command, "--project", here.project, "--json")
    eventually(lambda: here.stack.rows(since, here.live_id), within_s=60, what=f"{command[0]} began")
    here.stack.kill(*killed)
    ended = "SELECT status, error_message FROM operations WHERE deployment_id = ? AND kind = ? AND ended_at IS NOT NULL"
    eventually(lambda: here.stack.rows(ended, here.live_id, command[0]), within_s=300, what=f"the {command[0]} ends")
    assert here.stack.rows(ended, here.live_id, command[0]) == [("done", None)]
    out, err = cli.communicate(timeout=120)
    assert cli.returncode in (0, 7), out + err  # 7: its call was cut before it was answered, and said so


def test_api_killed_before_it_dispatched(stack: Stack, project: str, tmp_path: Path) -> None:
    """A deploy that was answered for and never handed over is found in the outbox by the next api."""
    here = scene(stack, project, tmp_path / "app")
    apps.edit(here.directory, "two")
    with stack.frozen("restate"):
        done = stack.deploy(here.directory, project, "--detach")
        assert done.code == 0, done.err
        ident = here.newest()
        assert stack.rows("SELECT sent_at FROM dispatches WHERE key = ?", ident) == [(None,)]
        stack.kill("api")
    here.becomes(ident, "ready")
    here.answers("two")
    here.assert_clean(ident)


def test_a_long_outage(stack: Stack, project: str, tmp_path: Path) -> None:
    """The live version answers while all but Envoy is away for long, and a deploy continues soon after all is back."""
    here = scene(stack, project, tmp_path / "app")
    with here.deploying("build") as ident:
        with Load(here.url, rate_per_s=50) as asking, stack.frozen("supervisor"):
            stack.kill(*ALL_BUT_ENVOY)
            eventually(lambda: asking.total > 250, what="load")
        assert asking.failures == []
        assert set(asking.bodies) == {"one"}
        here.becomes(ident, "ready")
    here.answers("two")
    here.assert_clean(ident)


@pytest.mark.parametrize(
    ("others", "down", "within_s"),
    [((), (), 2), ((), ("api", "worker", "restate"), 2), (("krane",), ("api", "worker", "restate"), 8)],
    ids=["alone", "control plane down", "krane killed too"],
)
def test_envoy_is_back(
    stack: Stack, project: str, tmp_path: Path, others: tuple[str, ...], down: tuple[str, ...], within_s: float
) -> None:
    """After kill -9 of Envoy the live version answers again within 2 s, also with the control plane down.

    With krane killed too, it is back as soon as krane has read its own snapshot: the api is not needed.
    """
    here = scene(stack, project, tmp_path / "app")

    def is_back() -> None:
        stack.kill("envoy", *others)
        here.answers("one")

    with stack.frozen(*down):
        takes_at_most(within_s, is_back, what="Envoy serves again")


@pytest.mark.parametrize("others", [(), PROCESSES], ids=["alone", "with everything"])
def test_supervisor_killed_and_started_again(
    stack: Stack, project: str, tmp_path: Path, others: tuple[str, ...]
) -> None:
    """kill -9 of the supervisor ends the services but not what serves; a new one adopts it and finishes the work."""
    here = scene(stack, project, tmp_path / "app")
    with here.deploying("build", detach=True) as ident:
        envoy = stack.process("envoy")
        supervisor = stack.process("supervisor")
        os.kill(supervisor.pid, signal.SIGKILL)
        if others:
            stack.kill("envoy")  # the services ended with their supervisor
        else:
            here.answers("one")
        stack.up()
        assert (stack.process("envoy") == envoy) is not bool(others)
        here.becomes(ident, "ready")
    here.answers("two")
    here.assert_clean(ident)
