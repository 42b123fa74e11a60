"""A private engine really starts, next to any other one, survives its supervisor, and leaves nothing behind."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pkg import cgroups, local_http
from pkg.docker import Engine as DockerEngine
from pkg.testing.wait import WAIT_S
from svc.standalone import bridge, engine
from svc.standalone.config import StandaloneConfig
from svc.standalone.down import down, stop_engine
from svc.standalone.egress import Policy, firewall
from svc.standalone.errors import StartupError
from svc.standalone.process import is_alive, read_pidfile
from svc.standalone.sections import Engine
from svc.standalone.statedir import StateDir

CONFIG = StandaloneConfig()

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("dockerd", path=firewall.PATH) is None, reason="needs root and dockerd"
)


@pytest.fixture
async def state(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StateDir]:
    made = StateDir(tmp_path_factory.mktemp("e") / "s")
    made.prepare()
    yield made
    await stop_engine(made, everything=True, keep_network=False)


@needs_root
async def test_private_engine_outlives_its_supervisor_and_leaves_nothing(state: StateDir) -> None:
    """Apps of a machine without Docker keep running through an upgrade; `make down` gives everything back."""
    process = engine.engine_process(state, CONFIG, Policy)
    network = bridge.choose(state.root, state.engine)
    process.start()
    await engine.wait_answering(state, process)
    await process.let_go()
    first = read_pidfile(state.pidfile("engine"))
    assert first

    again = engine.engine_process(state, CONFIG, Policy)
    again.start()
    assert again.pid == first.pid
    await again.let_go()

    address = f"unix://{engine.private_socket(state)}"
    assert (await local_http.request(address, "/info")).json()["LiveRestoreEnabled"] is True
    assert engine.mounts_below(str(state.engine))
    subnet = (await local_http.request(address, "/networks/bridge")).json()["IPAM"]["Config"][0]["Subnet"]
    assert subnet.startswith(f"10.{network.octet}.")
    assert await DockerEngine(engine.private_socket(state)).remove_containers() == 0

    # as a container leaves it that had the machine's network
    left = state.engine / "run" / "netns" / "default"
    left.mkdir(parents=True)
    mount = await asyncio.create_subprocess_exec("mount", "--bind", left, left)
    assert await asyncio.wait_for(mount.wait(), WAIT_S) == 0
    assert (await stop_engine(state, everything=True, keep_network=False))[0]
    assert not is_alive(first)
    assert not Path(f"/sys/class/net/{network.name}").exists()
    assert not engine.mounts_below(str(state.engine))


@needs_root
async def test_engine_that_cannot_start_says_why(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator sees the engine's own message, soon."""
    monkeypatch.setattr(engine, "_daemon_config", lambda *_: {"no-such-key": 1})
    process = engine.engine_process(state, CONFIG, Policy)
    process.start()
    with pytest.raises(StartupError, match="no-such-key"):
        await engine.wait_answering(state, process)
    await process.stop()


async def test_no_engine_and_none_wanted_is_one_sentence(tmp_path: Path) -> None:
    """Without an engine nothing can run: the message says which socket was asked and what to set."""
    socket = tmp_path / "none.sock"
    with pytest.raises(StartupError, match=r"none\.sock.*engine\.private"):
        await engine.wants_private(StandaloneConfig(engine=Engine(socket=str(socket), private="never")))


@needs_root
async def test_no_engine_means_a_private_one(tmp_path: Path) -> None:
    """A fresh machine needs no manual step."""
    assert await engine.wants_private(StandaloneConfig(engine=Engine(socket=str(tmp_path / "none.sock"))))


@pytest.mark.skipif(shutil.which("ip") is None, reason="needs ip")
def test_address_range_is_remembered(tmp_path: Path) -> None:
    """The range stays, also when the machine's own route to it exists now; other stacks get another name."""
    first = bridge.choose(Path("/a"), tmp_path)
    assert bridge.choose(Path("/a"), tmp_path) == first
    assert bridge.choose(Path("/b"), tmp_path).name != first.name
    assert len(first.name) <= 15  # IFNAMSIZ


@needs_root
async def test_what_a_killed_engine_lost_is_ended(state: StateDir, tmp_path: Path) -> None:
    """A shim whose container the engine does not know ends at the second look; one that it knows runs on."""
    process = engine.engine_process(state, CONFIG, Policy)
    process.start()
    await engine.wait_answering(state, process)
    network = engine.private_bridge(state)
    lost = [str(tmp_path / "containerd-shim-runc-v2"), "-c", "import time; time.sleep(60)"]
    lost += ["-namespace", network.name, "-id", "feedbeef"]
    shim = subprocess.Popen(lost, executable=sys.executable)  # noqa: ASYNC220 - nothing waits for it meanwhile
    try:
        suspects = await engine.end_unknown_shims(state, set())
        assert suspects == {"feedbeef"}
        assert shim.poll() is None
        assert await engine.end_unknown_shims(state, suspects) == set()
        assert shim.wait(10) == -9
    finally:
        shim.kill()
        shim.wait()
        await process.let_go()
    parent = engine.cgroup_parent(network).lstrip("/")
    tree = cgroups.here()
    assert tree
    assert (await stop_engine(state, everything=True, keep_network=False))[0]
    assert not any((root / parent).exists() for root in tree.mounts)


@needs_root
async def test_what_ran_on_without_its_engine_is_ended_and_told(state: StateDir, tmp_path: Path) -> None:
    """After Ctrl-C apps of a private engine run on; `make down` ends them, and does not say that nothing ran."""
    process = engine.engine_process(state, CONFIG, Policy)
    process.start()
    await engine.wait_answering(state, process)
    await process.let_go()
    assert await stop_engine(state, everything=False, keep_network=True) == (True, 0)
    app = [str(tmp_path / "containerd-shim-runc-v2"), "-c", "import time; time.sleep(60)"]
    app += ["-namespace", engine.private_bridge(state).name, "-id", "feedbeef"]
    shim = subprocess.Popen(app, executable=sys.executable)  # noqa: ASYNC220 - nothing waits for it meanwhile
    try:
        assert await down(state, with_apps=False) == []
        assert shim.poll() is None
        assert await down(state, with_apps=True) == ["1 app container"]
        assert shim.wait(10) == -9
        assert await down(state, with_apps=True) == []
    finally:
        shim.kill()
        shim.wait()
