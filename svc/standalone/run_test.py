"""Promise: a start that takes longer than anyone waits for is a start all the same."""

from pathlib import Path

import pytest

from pkg.lifecycle import Runner
from svc.standalone import envoy, health, restate, run, testing
from svc.standalone.config import StandaloneConfig
from svc.standalone.render import Addresses, Stack
from svc.standalone.secrets import ensure_secrets
from svc.standalone.statedir import StateDir
from svc.standalone.testing import Drains, drain


async def test_a_late_start_ends_the_drain_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an upgrade held back waits for the last process, however late it comes, and not for ever."""
    state = StateDir(tmp_path / "s")
    state.prepare()
    ensure_secrets(state.secrets)
    known = Drains(drain("drain_own", "UPGRADE", "supervisor"))
    looks: list[bool] = []

    async def not_in_time(checks: list[health.Check], timeout_s: float) -> dict[str, str]:
        return {"krane": "does not answer"}

    async def ask_all(checks: list[health.Check]) -> dict[str, str]:
        looks.append(bool(known.active))
        return {"krane": "" if len(looks) == 3 else "does not answer"}

    # no process is started: what is asked about them is said here
    monkeypatch.setattr(run.Supervisor, "_add", lambda self, process: None)
    monkeypatch.setattr(envoy, "envoy_process", lambda stack: None)
    monkeypatch.setattr(restate, "find_binary", lambda configured, root: Path("/bin/true"))
    monkeypatch.setattr(health, "wait_healthy", not_in_time)
    monkeypatch.setattr(health, "ask_all", ask_all)
    monkeypatch.setattr(run, "LATE_POLL_S", 0.01)
    addresses = Addresses(api="h:1", http="h:2", worker="h:3", worker_metrics="", krane_metrics="", ingress="h:4")
    async with testing.api(known) as address, Runner() as runner:
        stack = Stack(StandaloneConfig(), state, addresses, Path("/none"))
        endpoints = testing.endpoints(state, address)
        supervisor = run.Supervisor(stack, endpoints, runner, keep_serving=False)
        await supervisor.start()
        assert supervisor.ready.is_set()
    assert looks == [True, True, True]
    assert known.active == {}
