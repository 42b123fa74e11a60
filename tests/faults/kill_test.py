"""Promise: kill -9 of any process at any moment; every deployment ends right, exactly once, and leaves no orphans."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import apps
from tests.harness.http import get
from tests.harness.load import Load
from tests.harness.stack import PARTS, Stack, finish
from tests.harness.wait import eventually

ENDS_WITHIN_S = 100
VICTIMS = [*((part,) for part in PARTS), PARTS]
PHASES = ("build", "rollout", "routing")


@pytest.fixture(scope="module")
def stack(engine_socket: str) -> Iterator[Stack]:
    """A stack of its own: its processes die."""
    one = Stack(engine_socket)
    try:
        yield one.up()
    finally:
        one.down()


def _name(value: object) -> str:
    if isinstance(value, tuple):
        return "everything" if len(value) > 1 else str(value[0])
    return str(value)


def _second_version(directory: Path, phase: str) -> None:
    """A version whose deploy stays in `phase` for a while."""
    slow_build = "RUN sleep 3" if phase == "build" else ""
    slow_start = "sleep 2; " if phase == "rollout" else ""
    apps.app(directory, "two", build=slow_build, command=f"{slow_start}exec /bin/busybox httpd -f -p $PORT -h /www")


def _in_phase(stack: Stack, deployment_id: str, phase: str) -> bool:
    if phase == "build":
        query = "SELECT 1 FROM builds WHERE deployment_id = ? AND status = 'running'"
        return bool(stack.rows(query, deployment_id))
    if phase == "rollout":
        return stack.status_of(deployment_id) == "deploying" and bool(stack.containers(deployment_id))
    return stack.status_of(deployment_id) == "network"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victims", VICTIMS, ids=_name)
def test_kill_9(stack: Stack, project: str, tmp_path: Path, victims: tuple[str, ...], phase: str) -> None:
    """The deploy that was under way becomes ready once, and the live version answers all along."""
    directory = tmp_path / "app"
    first = stack.deploy(apps.app(directory, "one"), project)
    assert first.code == 0, first.err
    _second_version(directory, phase)
    if phase == "routing":
        # Envoy takes no configuration and acknowledges none: the deploy stays between "routes written" and "applied"
        stack.signal("envoy", signal.SIGSTOP)
    running = stack.start_cli("deploy", str(directory), "--project", project, "--json")
    ident = eventually(lambda: _newest(stack, project, first.last_json["deployment_id"]), within_s=30, what="recorded")
    eventually(lambda: _in_phase(stack, ident, phase), within_s=60, what=f"the deploy is in {phase}")

    if phase == "routing":
        stack.kill(*victims)
        if "envoy" not in victims:
            stack.signal("envoy", signal.SIGCONT)
    elif "envoy" in victims:
        stack.kill(*victims)
    else:
        with Load(stack.url(project), rate_per_s=50) as load:
            eventually(lambda: load.total > 10, within_s=10, what="load")
            stack.kill(*victims)
            eventually(lambda: stack.status_of(ident) == "ready", within_s=ENDS_WITHIN_S, what="the deploy is ready")
        assert load.failures == []
        assert set(load.bodies) <= {"one", "two"}

    eventually(lambda: stack.status_of(ident) == "ready", within_s=ENDS_WITHIN_S, what="the deploy is ready")
    eventually(lambda: stack.get(project).body == "two", within_s=10, what="the new version answers")
    finish(running)
    _assert_once(stack, project, ident)


def _newest(stack: Stack, project: str, not_this: str) -> str:
    query = "SELECT d.id FROM deployments d JOIN projects p ON p.id = project_id WHERE slug = ? AND d.id != ?"
    found = stack.rows(query, project, not_this)
    return str(found[0][0]) if found else ""


def _assert_once(stack: Stack, project: str, ident: str) -> None:
    """One instance of the deployment, nothing of anyone unknown, every route at a deployment that runs."""
    eventually(lambda: len(stack.containers(ident)) == 1, within_s=20, what="exactly one container")
    known = {row[0] for row in stack.rows("SELECT deployment_id FROM topologies WHERE stopped = 0")}
    assert {container["Labels"]["sealift.deployment"] for container in stack.containers()} <= known
    joined = "SELECT r.hostname FROM routes r JOIN deployments d ON d.id = deployment_id"
    assert stack.rows(f"{joined} WHERE run_state NOT IN ('running', 'standby')") == []
    ends = stack.rows("SELECT COUNT(*) FROM deployment_steps WHERE deployment_id = ? AND ended_at IS NULL", ident)
    assert ends == [(0,)]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("others_down", [(), ("api", "worker", "restate")], ids=["alone", "control plane down"])
def test_envoy_is_back_within_2_s(stack: Stack, project: str, tmp_path: Path, others_down: tuple[str, ...]) -> None:
    """After kill -9 of Envoy the live version answers again within 2 s, also with the control plane down."""
    done = stack.deploy(apps.app(tmp_path / "app", "one"), project)
    assert done.code == 0, done.err
    url = stack.url(project)
    for part in others_down:
        stack.signal(part, signal.SIGSTOP)
    try:
        stack.kill("envoy")
        eventually(lambda: get(url, timeout_s=1).body == "one", within_s=2, what="the app answers again")
    finally:
        for part in others_down:
            stack.signal(part, signal.SIGCONT)


@pytest.mark.timeout(180)
def test_supervisor_killed_and_started_again(engine_socket: str, tmp_path: Path) -> None:
    """kill -9 of the supervisor ends the services but not what serves; a new one adopts it and finishes the work."""
    import os

    stack = Stack(engine_socket)
    try:
        stack.up()
        assert stack.sealift("projects", "create", "app").code == 0
        directory = apps.app(tmp_path / "app", "one")
        assert stack.deploy(directory, "app").code == 0
        apps.app(directory, "two", build="RUN sleep 2")
        detached = stack.deploy(directory, "app", "--detach")
        assert detached.code == 0, detached.err
        url = stack.url("app")
        os.kill(stack.process("supervisor").pid, signal.SIGKILL)
        eventually(lambda: get(url).body == "one", within_s=2, what="the live version answers without its supervisor")
        stack.up()
        eventually(lambda: stack.status_of(detached.last_json["deployment_id"]) == "ready", within_s=60, what="ready")
        eventually(lambda: stack.get("app").body == "two", within_s=5, what="the new version answers")
    finally:
        stack.down()
