"""How Restate is started: on unix sockets only, with bounded memory, a pinned node name and no telemetry.

Its admin API asks for no credentials, and a Dockerfile can make the engine fetch from loopback: hence no TCP listener
at all.
"""

import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from svc.standalone import toml
from svc.standalone.config import StandaloneConfig
from svc.standalone.errors import StartupError
from svc.standalone.statedir import RESTATE_NODE_NAME, StateDir

# A handler that is cut off and started again would run twice: a build may take its whole time, and some more to report.
ABORT_MARGIN_S = 300

# Fixed when the installation is made, by the first start.
PARTITIONS = 2

_NPM_PLATFORMS = {"x86_64": "x64", "aarch64": "arm64"}


def find_binary(configured: str, root: Path, env: Mapping[str, str] = os.environ) -> Path:
    """The restate-server program.

    Args:
        configured: path from the config, or "".
        root: of the repository, which may have node_modules.
        env: for SEALIFT_RESTATE and PATH.

    Raises:
        StartupError: there is none; says where it was looked for.
    """
    arch = _NPM_PLATFORMS.get(platform.machine(), platform.machine())
    places = [
        configured,
        env.get("SEALIFT_RESTATE", ""),
        str(root / f"node_modules/@restatedev/restate-server-linux-{arch}/bin/restate-server"),
        shutil.which("restate-server", path=env.get("PATH")) or "",
    ]
    for place in filter(None, places):
        if os.access(place, os.X_OK) and Path(place).is_file():
            return Path(place).absolute()
        if place in places[:2]:
            raise StartupError(f"restate-server is not at {place}, where the configuration says it is.")
    raise StartupError(
        f"restate-server was not found in node_modules below {root} nor in PATH. Run `make setup`, or set "
        f"SEALIFT_RESTATE."
    )


def render(config: StandaloneConfig, state: StateDir) -> str:
    """Restate's configuration file."""
    return toml.render(
        {
            "cluster-name": "sealift",
            "node-name": RESTATE_NODE_NAME,
            "base-dir": str(state.restate),
            "listen-mode": "unix",
            # Only where there is no data yet: a wrong path must not look like a new installation.
            "auto-provision": not _marker(state).exists(),
            "default-num-partitions": PARTITIONS,
            "disable-telemetry": True,
            "shutdown-timeout": "8s",
            "log-format": "json",
            "log-disable-ansi-codes": True,
            # The release check at each start has no switch and logs an error offline.
            "log-filter": "warn,restate=info,octocrab=off",
            "rocksdb-total-memory-size": f"{config.restate.rocksdb_memory_mib} MiB",
            "default-journal-retention": "1d",
            "default-workflow-completion-retention": "7d",
            "default-idempotency-retention": "1h",
            "default-retry-policy": {
                "initial-interval": "100ms",
                "exponentiation-factor": 2.0,
                # Also a deploy that waited long for the worker continues at once when it is back.
                "max-interval": "2s",
                # A worker that is away must not leave workflows paused for ever.
                "max-attempts": "unlimited",
            },
            "admin": {"disable-web-ui": True, "query-engine": {"memory-size": "64 MiB"}},
            "worker": {
                "data-service-memory-limit": "32 MiB",
                "invoker": {
                    "inactivity-timeout": "1m",
                    "abort-timeout": f"{config.limits.build_timeout_s + ABORT_MARGIN_S}s",
                    "concurrent-invocations-limit": 256,
                    "memory-limit": "64 MiB",
                    "request-identity-private-key-pem-file": str(state.secrets / "restate.pem"),
                },
            },
            "bifrost": {"record-cache-memory-size": "16 MiB"},
            "log-server": {"rocksdb-disable-wal-fsync": False},
        }
    )


def check_data(state: StateDir) -> None:
    """Refuse to start on an installation whose workflow data is gone.

    Raises:
        StartupError: it was provisioned before, and the data is not there.
    """
    if _marker(state).exists() and not state.restate_sockets.is_dir():
        raise StartupError(
            f"Restate's data is missing at {state.restate_sockets}, although this installation had some. Restore it "
            f"from a backup; or, to start empty and lose deploys in progress, delete {_marker(state)}."
        )


def mark_provisioned(state: StateDir) -> None:
    """Remember that the data exists. Called once the stack is healthy: by then provisioning is over. Idempotent."""
    _marker(state).touch(mode=0o600)


def _marker(state: StateDir) -> Path:
    return state.restate / "provisioned"
