"""The whole stack, really started: healed after kill -9 of each process, adopted after one of the supervisor, ended."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg.docker import Engine
from pkg.docker.labels import LABEL_INSTALLATION
from pkg.testing.wait import WAIT_S
from svc.standalone import admin, health
from svc.standalone.command import ROOT
from svc.standalone.process import Identity, is_alive, read_pidfile
from svc.standalone.statedir import StateDir

PROCESSES = ("restate", "api", "worker", "krane", "envoy")
ENGINE = Path(os.environ.get("SEALIFT_ENGINE_SOCKET", "/var/run/docker.sock"))

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateDir]:
    made = StateDir(tmp_path_factory.mktemp("k") / "s")
    yield made
    installation = asyncio.run(admin.installation_id(made))
    done = supervise(made, "down", "--apps")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not traces_of(installation)


def supervise(state: StateDir, *words: str) -> subprocess.CompletedProcess[str]:
    names = ("api", "http", "worker", "worker-metrics", "krane-metrics", "ingress") if words[0] == "up" else ()
    ports = [f"--{name}-port=0" for name in names]
    return subprocess.run(
        [sys.executable, "-m", "svc.standalone", *words, "--state-dir", str(state.root), *ports],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=150,
        env={**os.environ, "SEALIFT_ENGINE_SOCKET": str(ENGINE)},
    )  # fmt: skip


def traces_of(installation: str | None) -> list[object]:
    """The containers and networks that an installation has left in the engine."""
    label = f"{LABEL_INSTALLATION}={installation}"

    async def ask() -> list[object]:
        return [*await Engine(ENGINE).containers(label), *await Engine(ENGINE).networks(label)]

    return asyncio.run(ask())


def up(state: StateDir) -> None:
    done = supervise(state, "up", "--detach")
    assert done.returncode == 0, done.stdout + done.stderr


def running(state: StateDir, process: str) -> Identity:
    found = read_pidfile(state.pidfile(process))
    assert found, process
    return found


async def healthy(state: StateDir) -> None:
    endpoints = health.read_endpoints(state)
    assert endpoints
    missing = await health.wait_healthy(health.checks(state, endpoints), 60)
    assert not missing, missing


async def replaced(state: StateDir, before: Identity, process: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while (now := read_pidfile(state.pidfile(process))) is None or now == before:  # noqa: ASYNC110 - processes, not tasks
            await asyncio.sleep(0.01)


async def test_stack_lives_through_every_crash(state: StateDir) -> None:
    """kill -9 of any process, or of the supervisor: everything works again, and Envoy never ends with the others."""
    up(state)
    await healthy(state)
    before = health.read_endpoints(state)
    for process in PROCESSES:
        victim = running(state, process)
        os.kill(victim.pid, signal.SIGKILL)
        await replaced(state, victim, process)
        await healthy(state)

    envoy = running(state, "envoy")
    children = [running(state, process) for process in PROCESSES if process != "envoy"]
    os.kill(running(state, "supervisor").pid, signal.SIGKILL)
    async with asyncio.timeout(WAIT_S):
        while any(is_alive(child) for child in children):  # noqa: ASYNC110 - processes, not tasks
            await asyncio.sleep(0.01)
    assert is_alive(envoy)

    up(state)
    await healthy(state)
    assert running(state, "envoy") == envoy
    after = health.read_endpoints(state)
    assert before
    assert after
    assert (before.api, before.worker, before.ingress) == (after.api, after.worker, after.ingress)

    ending = [running(state, process) for process in PROCESSES]
    os.kill(running(state, "supervisor").pid, signal.SIGTERM)
    async with asyncio.timeout(WAIT_S):
        while read_pidfile(state.pidfile("supervisor")):  # noqa: ASYNC110 - processes, not tasks
            await asyncio.sleep(0.05)
    assert not any(is_alive(process) for process in ending)
    assert not list(state.run.glob("*.pid"))
