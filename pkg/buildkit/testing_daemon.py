"""A modern BuildKit for tests: the one in Debian trixie's Docker engine, which keeps images in containerd's store.

`dev/parts/buildkit.sh` unpacks the engine; a run of it is a process tree in namespaces of its own (mounts, processes)
on the machine's network, with an empty store. It ends with the process of the tests, however that ends.
"""

import json
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from pkg.testing.parts import prepared_part

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0
_KEPT = "/var/tmp"  # noqa: S108, on a disk, as /tmp may not be
# A range for tests of networks (RFC 2544), which nothing routes: each run has one /24 of it for its RUN steps.
_BRIDGE_NETWORK = "198.18"
# In a mount namespace and a PID namespace: the engine sees the part as its root, and the run's folder as /state.
_ENTER = """
set -e
mount --make-rprivate /
mount --bind "$0" "$0"
cd "$0"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount --rbind "$1" state
[ "$2" = 0 ] || mount -t tmpfs -o "size=$2m" tmpfs state/data
exec chroot . dockerd --config-file /state/daemon.json
"""
# Whatever ends the tests, the pipe is closed then; the first process of the PID namespace takes all others with it.
_BOUND = """
unshare --mount --pid --fork --kill-child=KILL sh -c "$0" "$1" "$2" "$4" </dev/null &
read -r _
kill -KILL $!
wait
ip link delete "$3" 2>/dev/null
rm -rf "$2"
"""


def part() -> Path:
    """Where `dev/parts/buildkit.sh` unpacked the engine. Raises PartMissingError, never skips."""
    return prepared_part("buildkit") / "root"


class BuildkitDaemon:
    """One run of the engine, with an empty store.

    Attributes:
        folder: everything it writes; as /state it is a folder of the engine, too. A certificate authority of a registry
            belongs into certs.d/<host:port>/ca.crt.
        address: of this machine in the network of its RUN steps.
        socket: of the engine: `engine_channel` reaches its BuildKit, `testing_front` offers it as other daemons do.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, *, data_mib: int = 0) -> None:
        """Starts nothing.

        Args:
            environment: of the engine, such as BUILDKIT_STEP_LOG_MAX_SIZE.
            data_mib: size of the disk that the store is on; 0: the machine's own.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="slb-", dir=_KEPT))
        self.socket = self.folder / "docker.sock"
        self._environment = dict(environment or {})
        self._bridge = f"slb{secrets.token_hex(4)}"
        self.address = f"{_BRIDGE_NETWORK}.{secrets.randbelow(256)}.1"
        self._data_mib = data_mib
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it answers, after about 2 s. Raises RuntimeError with the end of its log."""
        root = part()
        self.socket.unlink(missing_ok=True)
        for name in ("certs.d", "data"):
            (self.folder / name).mkdir(exist_ok=True)
        settings = {
            "data-root": "/state/data", "exec-root": "/run/docker", "pidfile": "/run/docker.pid",
            "hosts": ["unix:///state/docker.sock"], "features": {"containerd-snapshotter": True},
            "bridge": self._bridge, "iptables": False, "ip6tables": False, "ip-forward": False,
        }  # fmt: skip
        (self.folder / "daemon.json").write_text(json.dumps(settings))
        _run("ip", "link", "add", self._bridge, "type", "bridge")
        _run("ip", "address", "add", f"{self.address}/24", "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")
        with (self.folder / "engine.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _BOUND, _ENTER, str(root), str(self.folder), self._bridge, str(self._data_mib)],
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **self._environment},
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.05)
        end = (self.folder / "engine.log").read_text(errors="replace")[-3000:]
        self.stop()
        raise RuntimeError(f"the modern BuildKit did not start:\n{end}")

    def stop(self) -> None:
        """Ends it with everything that it runs, and removes its files. Idempotent."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.socket))
                client.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
                return b" 200 " in client.recv(1024)
            except OSError:
                return False


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
