"""Which Docker engine the stack uses: the machine's if it answers, else a private one under the state directory.

A private engine is detached like Envoy and runs with live-restore: apps keep running while it, or the supervisor, is
replaced.
"""

import asyncio
import json
import os
import shutil
import subprocess
import time
import urllib.parse
from pathlib import Path

from svc.standalone import bridge, local_http
from svc.standalone.config import StandaloneConfig
from svc.standalone.detach import detach
from svc.standalone.errors import StartupError
from svc.standalone.part import Part
from svc.standalone.process import Identity, identify
from svc.standalone.statedir import StateDir

NAME = "engine"
START_TIMEOUT_S = 60.0
MAX_EARLY_ENDS = 3
CONTAINERD_ENDS_WITHIN_S = 0.5
REMOVALS_AT_ONCE = 4  # of containers; more load a small machine without being sooner done

# Where Debian keeps what an engine needs; a user's PATH may lack them.
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def private_socket(state: StateDir) -> Path:
    """Where a private engine listens."""
    return state.engine / "docker.sock"


async def is_answering(socket: Path) -> bool:
    """Whether a Docker engine answers on the socket."""
    return socket.exists() and await local_http.answers(f"unix://{socket}", "/_ping")


async def wants_private(config: StandaloneConfig) -> bool:
    """Whether to start an engine of our own.

    Raises:
        StartupError: there is no engine and none can be started; says what to do.
    """
    socket = Path(config.engine.socket)
    if config.engine.private != "always" and await is_answering(socket):
        return False
    if config.engine.private == "never":
        raise StartupError(
            f"no Docker engine answers on {socket}. Start one, or point engine.socket at it, or set engine.private "
            f"to auto."
        )
    missing = [name for name in ("dockerd", "iptables", "ip") if shutil.which(name, path=_SYSTEM_PATH) is None]
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


def part(state: StateDir, build_cache_mib: int) -> Part:
    """A private engine as a part of the stack; its network is made at each start.

    Args:
        state: where its data lies.
        build_cache_mib: what it keeps of the build cache; an engine that runs already keeps what it was told.

    Raises:
        StartupError: from the part's start, when the network cannot be made.
    """
    state.engine.mkdir(mode=0o711, exist_ok=True)
    config = state.engine / "daemon.json"
    network = bridge.choose(state.root, state.engine)
    config.write_text(json.dumps(_daemon_config(state, network, build_cache_mib), indent=2))

    def launch() -> Identity:
        network.up()
        (state.engine / "dockerd.pid").unlink(missing_ok=True)
        _forget_containerd(state)
        return detach(
            [
                shutil.which("dockerd", path=_SYSTEM_PATH) or "dockerd", "--config-file", str(config),
                # It may use a containerd of the machine, which is not ours: never share names in it.
                "--containerd-namespace", network.name, "--containerd-plugins-namespace", f"{network.name}-plugins",
            ],
            pidfile=state.pidfile(NAME), log_path=state.log(NAME), cwd=Path("/"),
            env={**os.environ, "PATH": _SYSTEM_PATH},
        )  # fmt: skip

    return Part(name=NAME, pidfile=state.pidfile(NAME), launch=launch, grace_s=15.0, outlives=True)


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


async def wait_answering(state: StateDir, running: Part) -> None:
    """Return when the private engine answers.

    Raises:
        StartupError: it does not, or ends again and again; with the end of its log.
    """
    end = time.monotonic() + START_TIMEOUT_S
    while not await is_answering(private_socket(state)):
        if time.monotonic() > end or running.restarts >= MAX_EARLY_ENDS:
            tail = state.log(NAME).read_text(errors="replace").splitlines()[-2:]
            raise StartupError(f"the private Docker engine does not answer: {' / '.join(tail)}")
        await asyncio.sleep(0.1)


async def remove_networks(socket: Path, label: str) -> None:
    """Remove every network with a label (`key=value`) that no container uses.

    Raises:
        OSError: the engine does not answer.
    """
    address = f"unix://{socket}"
    listed = await local_http.request(address, f"/networks?filters={label_filter(label)}", timeout_s=10.0)
    for network in listed.json():
        # 403: a container is still in it. That is somebody's reason to keep it.
        await local_http.request(address, f"/networks/{network['Id']}", method="DELETE", timeout_s=30.0)


def label_filter(label: str) -> str:
    """For the `filters` parameter of the engine's lists: only what carries the label (`key=value`)."""
    return urllib.parse.quote(json.dumps({"label": [label]}))


async def remove_containers(socket: Path, label: str = "") -> int:
    """Remove every container with a label (`key=value`), running or not; "" means all. Returns how many.

    Raises:
        OSError: the engine does not answer, or refuses.
    """
    address = f"unix://{socket}"
    filters = f"&filters={label_filter(label)}" if label else ""
    listed = await local_http.request(address, f"/containers/json?all=1{filters}", timeout_s=10.0)
    found = [item["Id"] for item in listed.json()]
    at_once = asyncio.Semaphore(REMOVALS_AT_ONCE)

    async def remove(container: str) -> None:
        async with at_once:
            answer = await local_http.request(
                address, f"/containers/{container}?force=1&v=1", method="DELETE", timeout_s=30.0
            )
        if answer.status not in {204, 404, 409}:
            raise OSError(
                f"the engine did not remove container {container[:12]}: {answer.body.decode(errors='replace')[:200]}"
            )

    # All are tried, also when one can't be removed.
    done = await asyncio.gather(*map(remove, found), return_exceptions=True)
    for failure in done:
        if isinstance(failure, BaseException):
            raise failure
    return len(found)


def remove_traces(state: StateDir) -> None:
    """Take down the bridge and mounts of a private engine that has ended with its containers. Idempotent."""
    if state.engine.exists():
        bridge.choose(state.root, state.engine).down()
        # With live-restore the engine leaves its data directory mounted onto itself, once more after each restart;
        # also the network of a container that had the machine's.
        for target in reversed(mounts_below(str(state.engine))):
            subprocess.run(["umount", target], check=False, timeout=10, capture_output=True)


def mounts_below(path: str) -> list[str]:
    """The mounts at or below a path, the oldest first, each as often as it is mounted.

    Also those that `Path.is_mount` does not see: a directory mounted onto itself.
    """
    # proc_pid_mountinfo(5): field 5, with blanks written as \\040.
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    targets = [line.split()[4].replace("\\040", " ") for line in lines]
    return [target for target in targets if target == path or target.startswith(path + "/")]


def _daemon_config(state: StateDir, network: bridge.Bridge, build_cache_mib: int) -> dict[str, object]:
    return {
        "data-root": str(state.engine / "data"),
        "exec-root": str(state.engine / "run"),
        "pidfile": str(state.engine / "dockerd.pid"),
        "hosts": [f"unix://{private_socket(state)}"],
        "bridge": network.name,
        "iptables": False,
        "ip-masq": False,
        "default-address-pools": [{"base": network.networks, "size": 24}],
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "2"},
        "features": {"buildkit": True},
        "builder": {"gc": {"enabled": True, "defaultKeepStorage": f"{build_cache_mib}MB"}},
    }
