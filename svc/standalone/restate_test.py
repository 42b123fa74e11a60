"""Restate really starts with our configuration: on unix sockets only, healthy, with its identity key."""

import asyncio
import os
from pathlib import Path

import pytest

from pkg import local_http
from pkg.testing.wait import WAIT_S
from svc.standalone import ports, restate
from svc.standalone.children import Child
from svc.standalone.command import ROOT
from svc.standalone.config import StandaloneConfig
from svc.standalone.errors import StartupError
from svc.standalone.health import POLL_S
from svc.standalone.secrets import ensure_secrets
from svc.standalone.statedir import StateDir
from svc.standalone.supervised import SupervisedProcess


async def test_restate_answers_on_its_sockets(tmp_path: Path) -> None:
    """Healthy after a start with the generated config; no TCP port leads to it, and /tmp is left alone."""
    state = StateDir(tmp_path / "s")
    state.prepare()
    ensure_secrets(state.secrets)
    state.config("restate").write_text(restate.render(StandaloneConfig(), state))
    binary = restate.find_binary("", ROOT)
    child = Child(
        [str(binary), "--no-logo", "--config-file", str(state.config("restate"))],
        state.log("restate"), state.pidfile("restate"), ROOT, os.environ,
        state.scratch("restate"),
    )  # fmt: skip
    process = SupervisedProcess(
        name="restate", pidfile=state.pidfile("restate"), launch=child.launch, collect=child.collect
    )
    process.start()
    try:
        async with asyncio.timeout(WAIT_S):
            for name, path in (("admin", "/health"), ("ingress", "/restate/health")):
                while not await local_http.answers(f"unix://{state.restate_sockets / name}.sock", path):
                    assert process.restarts == 0, state.log("restate").read_text()
                    await asyncio.sleep(POLL_S)
            while not list(state.scratch("restate").iterdir()):  # noqa: ASYNC110 - processes, not tasks
                await asyncio.sleep(POLL_S)
        assert process.pid
        assert not _listens_on_tcp(process.pid)
        announced = (state.secrets / "restate.pub").read_text()
        assert announced in state.log("restate").read_text()
    finally:
        await process.stop()


def _listens_on_tcp(pid: int) -> bool:
    listening = {
        line.split()[9]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    return ports._has_socket(Path(f"/proc/{pid}"), listening)


def test_only_a_new_installation_provisions_itself(tmp_path: Path) -> None:
    """A lost data directory is an error, not an empty installation."""
    state = StateDir(tmp_path / "s")
    state.prepare()
    assert "auto-provision = true" in restate.render(StandaloneConfig(), state)
    restate.check_data(state)
    restate.mark_provisioned(state)
    assert "auto-provision = false" in restate.render(StandaloneConfig(), state)
    with pytest.raises(StartupError, match="backup"):
        restate.check_data(state)


def test_missing_binary_says_where_it_was_looked_for(tmp_path: Path) -> None:
    """The next step is in the message."""
    with pytest.raises(StartupError, match="make setup"):
        restate.find_binary("", tmp_path, {"PATH": str(tmp_path)})
    with pytest.raises(StartupError, match="/no/such"):
        restate.find_binary("", tmp_path, {"SEALIFT_RESTATE": "/no/such"})
