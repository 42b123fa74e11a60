"""Which Docker engine the stack uses: the machine's if it answers, else a private one under the state directory.

A private engine is detached like Envoy and runs with live-restore: apps keep running while it, or the supervisor, is
replaced.
"""

import asyncio
import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from pkg import cgroups
from pkg.docker import Engine
from pkg.networks import bridge_device
from svc.standalone import bridge, build_limits, leftovers
from svc.standalone.config import StandaloneConfig
from svc.standalone.detach import detach
from svc.standalone.egress import Policy, firewall
from svc.standalone.errors import StartupError
from svc.standalone.files import replace
from svc.standalone.process import Identity, identify
from svc.standalone.render import network_name
from svc.standalone.statedir import StateDir
from svc.standalone.supervised import SupervisedProcess

log = logging.getLogger(__name__)

NAME = "engine"
# BuildKit clips the output of a step at 2 MiB and at 200 KiB/s unless set otherwise; the bound of a whole log is ours
# (MAX_BUILD_BYTES of pkg/buildkit/log_lines.py).
BUILD_LOG_LIMITS = {"BUILDKIT_STEP_LOG_MAX_SIZE": str(64 << 20), "BUILDKIT_STEP_LOG_MAX_SPEED": str(64 << 20)}
START_TIMEOUT_S = 60.0
MAX_EARLY_ENDS = 3
CONTAINERD_ENDS_WITHIN_S = 0.5
LEFTOVERS_END_WITHIN_S = 5.0


def private_socket(state: StateDir) -> Path:
    """Where a private engine listens."""
    return state.engine / "docker.sock"


def address_pool(state: StateDir) -> str:
    """Where krane takes the addresses of instances on a private engine, as CIDR; chosen at the first call.

    Raises:
        StartupError: no range is free.
    """
    state.engine.mkdir(mode=0o711, exist_ok=True)
    return bridge.choose(state.root, state.engine).networks


async def wants_private(config: StandaloneConfig) -> bool:
    """Whether to start an engine of our own.

    Raises:
        StartupError: there is no engine and none can be started; says what to do.
    """
    socket = Path(config.engine.socket)
    if config.engine.private != "always" and await Engine(socket).is_answering():
        return False
    if config.engine.private == "never":
        raise StartupError(
            f"no Docker engine answers on {socket}. Start one, or point engine.socket at it, or set engine.private "
            f"to auto."
        )
    missing = [name for name in ("dockerd", "ip") if shutil.which(name, path=firewall.PATH) is None]
    missing += firewall.missing_programs()
    if os.geteuid() != 0:
        raise StartupError(
            f"no Docker engine answers on {socket} for user {os.geteuid()}, and only root can start one. Start "
            f"Docker and add this user to its group, or point engine.socket at a rootless engine's socket."
        )
    if missing:
        raise StartupError(
            f"no Docker engine answers on {socket}, and to start one {' and '.join(missing)} is missing. On Debian run "
            f"`make setup`; elsewhere install and start Docker."
        )
    return True


def private_bridge(state: StateDir) -> bridge.Bridge:
    """The network of a private engine, the same at each start.

    Raises:
        StartupError: no address range is free.
    """
    state.engine.mkdir(mode=0o711, exist_ok=True)
    return bridge.choose(state.root, state.engine)


def cgroup_parent(network: bridge.Bridge) -> str:
    """The control group of a private engine: of builds, and of containers that krane did not make."""
    return f"/{network.name}"


def apps_cgroup(network: bridge.Bridge) -> str:
    """The control group of the apps: beside the engine's, so that builds can be told to wait for them."""
    return f"/{network.name}-apps"


def builds_cgroup(state: StateDir) -> str:
    """The control group of all builds of a private engine."""
    return f"{cgroup_parent(private_bridge(state))}/{build_limits.BUILDKIT}"


def data_root(state: StateDir) -> Path:
    """Where a private engine keeps images, containers and builds."""
    return state.engine / "data"


def engine_process(state: StateDir, config: StandaloneConfig, policy: Callable[[], Policy]) -> SupervisedProcess:
    """A private engine as a process of the stack; its network and the limits of its builds are made at each start.

    Args:
        state: where its data is.
        config: an engine that runs already keeps the configuration of its start.
        policy: what containers reach, called at each start.

    Raises:
        StartupError: from the process's start, when the network cannot be made.
    """
    network = private_bridge(state)
    parent, hierarchy = cgroup_parent(network), cgroups.here()

    def launch() -> Identity:
        for problem in network.up(bridge_device(network_name(state)), policy()).problems:
            log.warning("%s", problem)
        # Steps of builds that the last engine was killed in: nobody waits for them.
        if hierarchy and (
            count := leftovers.kill_group(build_limits.pids_in(hierarchy, f"{parent}/{build_limits.BUILDKIT}"))
        ):
            log.info("ended %d processes of builds that an engine left", count)
        for problem in build_limits.apply(hierarchy, parent, build_limits.of_machine(config.builds)):
            log.warning("%s", problem)
        replace(_daemon_json(state), json.dumps(_daemon_config(state, network, config), indent=2))
        (state.engine / "dockerd.pid").unlink(missing_ok=True)
        _forget_containerd(state)
        return detach(
            [
                shutil.which("dockerd", path=firewall.PATH) or "dockerd", "--config-file", str(_daemon_json(state)),
                # It may use a containerd of the machine, which is not ours: never share names in it.
                "--containerd-namespace", network.name, "--containerd-plugins-namespace", f"{network.name}-plugins",
            ],
            pidfile=state.pidfile(NAME), log_path=state.log(NAME), cwd=Path("/"),
            env={**os.environ, **BUILD_LOG_LIMITS, "PATH": firewall.PATH},
        )  # fmt: skip

    return SupervisedProcess(name=NAME, pidfile=state.pidfile(NAME), launch=launch, grace_s=15.0, outlives=True)


def _forget_containerd(state: StateDir) -> None:
    """Let the next engine start a containerd of its own at once.

    The kernel ends an engine's containerd with it. An engine that finds it on its way out takes it for running, and
    gives up after 15 s.
    """
    pidfile = state.engine / "run" / "containerd" / "containerd.pid"
    try:
        pid = int(pidfile.read_text())
    except (OSError, ValueError):
        return
    deadline = time.monotonic() + CONTAINERD_ENDS_WITHIN_S
    while _is_containerd(pid):
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)
    pidfile.unlink(missing_ok=True)


def _is_containerd(pid: int) -> bool:
    """Whether the process runs, and is no other one that got the number later."""
    try:
        return identify(pid) is not None and Path(f"/proc/{pid}/comm").read_text().strip() == "containerd"
    except OSError:
        return False


async def wait_answering(state: StateDir, running: SupervisedProcess) -> None:
    """Return when the private engine answers.

    Raises:
        StartupError: it does not, or ends again and again; with the end of its log.
    """
    end = time.monotonic() + START_TIMEOUT_S
    while not await Engine(private_socket(state)).is_answering():
        if time.monotonic() > end or running.restarts >= MAX_EARLY_ENDS:
            tail = state.log(NAME).read_text(errors="replace").splitlines()[-2:]
            raise StartupError(f"the private Docker engine does not answer: {' / '.join(tail)}")
        await asyncio.sleep(0.1)


def has_bounded_builds(state: StateDir) -> bool:
    """Whether the private engine that runs was started with a control group of its own."""
    try:
        found = json.loads(_daemon_json(state).read_text())
    except (OSError, ValueError):
        return False
    return bool(found.get("cgroup-parent") == cgroup_parent(private_bridge(state)))


async def remove_traces(state: StateDir) -> int:
    """Take down all that a private engine leaves that has ended: processes, bridge, control groups, mounts. Idempotent.

    Containers end here that ran on without their engine, that it lost while it was killed, or that nobody could remove.

    Returns:
        How many containers ran.
    """
    if not state.engine.exists():
        return 0
    network = private_bridge(state)
    count = len(leftovers.shims(network.name))
    await _end_leftovers(network)
    network.down()
    _unmount(state)
    return count


def _unmount(state: StateDir) -> None:
    # With live-restore the engine leaves its data directory mounted onto itself, once more after each restart; also the
    # network of a container that had the machine's.
    for target in reversed(mounts_below(str(state.engine))):
        subprocess.run(["umount", target], check=False, timeout=10, capture_output=True)


async def _end_leftovers(network: bridge.Bridge) -> None:
    """End shims, what they hold, and steps of builds; wait a bounded time until they are gone."""
    parents, hierarchy = (cgroup_parent(network), apps_cgroup(network)), cgroups.here()
    deadline = time.monotonic() + LEFTOVERS_END_WITHIN_S
    while time.monotonic() < deadline:
        count = leftovers.kill_shims(leftovers.shims(network.name))
        if hierarchy:
            count += sum(leftovers.kill_group(build_limits.pids_in(hierarchy, parent)) for parent in parents)
        if not count:
            break
        await asyncio.sleep(0.05)
    for parent in parents:
        build_limits.remove(hierarchy, parent)


async def end_unknown_shims(state: StateDir, suspects: set[str]) -> set[str]:
    """End shims of containers that the private engine does not know; an engine killed at the wrong moment leaves them.

    Args:
        state: of the stack.
        suspects: what the last call returned. A shim ends only at the second look: an engine that removes a container
            forgets it a moment before its shim has ended.

    Returns:
        Containers whose shims run although the engine does not know them.

    Raises:
        OSError: the engine does not answer.
    """
    found = leftovers.shims(private_bridge(state).name)  # before the list: what starts later is known
    known = {one["Id"] for one in await Engine(private_socket(state)).containers()}
    unknown = [shim for shim in found if shim.container not in known]
    doubly = [shim for shim in unknown if shim.container in suspects]
    if leftovers.kill_shims(doubly):
        log.warning("ended the processes of %d containers that the engine lost when it was killed", len(doubly))
    return {shim.container for shim in unknown} - {shim.container for shim in doubly}


def mounts_below(path: str) -> list[str]:
    """The mounts at or below a path, the oldest first, each as often as it is mounted.

    Also those that `Path.is_mount` does not see: a directory mounted onto itself.
    """
    # proc_pid_mountinfo(5): field 5, with blanks written as \\040.
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    targets = [line.split()[4].replace("\\040", " ") for line in lines]
    return [target for target in targets if target == path or target.startswith(path + "/")]


def _daemon_json(state: StateDir) -> Path:
    return state.engine / "daemon.json"


def _daemon_config(state: StateDir, network: bridge.Bridge, config: StandaloneConfig) -> dict[str, object]:
    return {
        "data-root": str(data_root(state)),
        "exec-root": str(state.engine / "run"),
        "pidfile": str(state.engine / "dockerd.pid"),
        "hosts": [f"unix://{private_socket(state)}"],
        "bridge": network.name,
        "iptables": False,
        "ip-masq": False,
        "default-address-pools": [{"base": network.networks, "size": 22}],
        "live-restore": True,
        # A group that no other engine on this machine shares. With systemd's driver it could be no plain path.
        "cgroup-parent": cgroup_parent(network),
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "2"},
        "features": {"buildkit": True},
        "builder": {"gc": {"enabled": True, "defaultKeepStorage": f"{config.engine.build_cache_mib}MB"}},
    }
