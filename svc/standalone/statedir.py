"""The state directory: the one directory that holds all data of a one-machine installation. Back it up as a whole.

It is 0700 and held by one supervisor at a time (flock: the kernel releases it when the process ends, in any way).
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pkg import filelock
from svc.standalone.errors import StartupError
from svc.standalone.process import read_pidfile

# A unix socket's path is at most 107 bytes, and the longest one below the root is containerd's, 43 bytes.
ROOT_MAX_BYTES = 64

# Restate keeps its data under <base-dir>/<node-name>: another name would silently be an empty installation.
RESTATE_NODE_NAME = "sealift"


def default_root(env: Mapping[str, str] = os.environ) -> Path:
    """SEALIFT_STATE_DIR if set (the CLI looks there too), /var/lib/sealift for root, else ~/.local/share/sealift."""
    if env.get("SEALIFT_STATE_DIR"):
        return Path(env["SEALIFT_STATE_DIR"]).absolute()
    return Path("/var/lib/sealift") if os.geteuid() == 0 else Path.home() / ".local/share/sealift"


@dataclass(frozen=True)
class StateDir:
    """The paths below the root. Constructing one touches no file; `prepare` creates the directories."""

    root: Path

    @property
    def run(self) -> Path:
        """Generated configs, pidfiles and sockets, and the ports that were chosen."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One file per process, plus one older one."""
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        """Key files, 0600."""
        return self.root / "secrets"

    @property
    def objects(self) -> Path:
        """The Disk store."""
        return self.root / "objects"

    @property
    def krane(self) -> Path:
        """The last snapshot that krane persisted."""
        return self.root / "krane"

    @property
    def restate(self) -> Path:
        """Restate's base-dir."""
        return self.root / "restate"

    @property
    def engine(self) -> Path:
        """The private Docker engine's images, containers and sockets."""
        return self.root / "engine"

    @property
    def restate_sockets(self) -> Path:
        """Where Restate listens: fabric.sock, ingress.sock and admin.sock."""
        return self.restate / RESTATE_NODE_NAME

    def socket(self, name: str) -> Path:
        """A unix socket of the stack."""
        return self.run / f"{name}.sock"

    def liveness(self, name: str) -> Path:
        """The socket on which a service answers while its event loop runs, see `pkg.observability.liveness`."""
        return self.run / f"{name}.live"

    def pidfile(self, name: str) -> Path:
        """The pidfile of a process."""
        return self.run / f"{name}.pid"

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self.logs / f"{name}.log"

    def config(self, name: str) -> Path:
        """The generated config file of a process."""
        return self.run / f"{name}.toml"

    def scratch(self, name: str) -> Path:
        """The temporary files of a process, sockets of the worker among them: 38 bytes below the root."""
        return self.run / f"{name}.tmp"

    @property
    def ended_steps(self) -> Path:
        """Which steps of builds the supervisor ended at a bound, for the worker (`pkg.builds.ended_steps`)."""
        return self.run / "ended-steps.json"

    @property
    def hang_report(self) -> Path:
        """Where the worker reports that the private engine's BuildKit hangs (`pkg.builds.hang_report`)."""
        return self.run / "engine-hangs.json"

    def prepare(self) -> None:
        """Create what is missing, private to this user. Idempotent.

        Raises:
            StartupError: the path is too long for sockets, belongs to someone else, is open to others, or cannot be
            made.
        """
        if len(os.fsencode(self.root)) > ROOT_MAX_BYTES:
            raise StartupError(
                f"the state directory {self.root} has a path of {len(os.fsencode(self.root))} bytes; unix sockets "
                f"below it allow at most {ROOT_MAX_BYTES}. Choose a shorter one with --state-dir."
            )
        try:
            for path in (self.root, self.run, self.logs, self.secrets, self.objects, self.krane, self.restate):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.root.stat()
        except OSError as error:
            raise StartupError(f"the state directory {self.root} cannot be used: {error.strerror}.") from error
        if found.st_uid != os.geteuid():
            raise StartupError(
                f"the state directory {self.root} belongs to user {found.st_uid}, not to {os.geteuid()} who starts "
                f"the stack."
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise StartupError(
                f"the state directory {self.root} is open to others (mode {stat.S_IMODE(found.st_mode):04o}). It "
                f"holds keys: check who could read it, then run chmod 700 {self.root}."
            )

    def lock(self) -> int:
        """Hold the directory until the returned file descriptor is closed, or this process ends.

        Raises:
            StartupError: another supervisor holds it.
        """
        held = filelock.acquire(self.root / "lock")
        if held is None:
            holder = read_pidfile(self.pidfile("supervisor"))
            who = f"process {holder.pid}" if holder else "another process"
            raise StartupError(
                f"the state directory {self.root} is in use by {who}: this stack runs already. "
                f"`python -m svc.standalone status` shows it, `down` ends it, --state-dir starts another one."
            )
        return held
