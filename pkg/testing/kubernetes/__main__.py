"""A Kubernetes to work with by hand: `python -m pkg.testing.kubernetes up [--fake]`, `load`, `kubectl`, `down`.

up       starts a cluster in the background and prints where its configuration is. Needs root, but for `--fake`: a
         control plane whose only node plays the status of Pods.
load     puts the images of an archive (as `docker save` writes it; standard input without a name) into it.
kubectl  runs Debian's kubectl on it.
down     ends it with everything in it.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pkg.testing.kubernetes.control_plane import ControlPlane
from pkg.testing.kubernetes.real_node import Cluster, import_archive
from pkg.testing.parts import prepared_part

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
_RECORD = Path(tempfile.gettempdir()) / f"sealift-kubernetes-{os.getuid()}.json"
_LOG = _RECORD.with_suffix(".log")


class UsageError(Exception):
    """What is to be done instead."""


def _run(*, is_fake: bool) -> None:
    """The owner: holds a lock on the record, writes it once the cluster is up, ends on SIGTERM."""
    with _RECORD.open("a+") as record:
        try:
            fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError("a cluster is up already; `down` ends it") from None
        record.truncate(0)
        with ControlPlane() if is_fake else Cluster() as plane:
            if is_fake:
                plane.add_fake_node()
            where = {"pid": os.getpid(), "kubeconfig": str(plane.kubeconfig)}
            if isinstance(plane, Cluster):
                where["containerd"] = str(plane.node.socket)
            record.write(json.dumps(where))
            record.flush()
            signal.sigwait({signal.SIGTERM, signal.SIGINT})
        record.truncate(0)


def _is_locked(record: IO[str]) -> bool:
    try:
        fcntl.flock(record, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(record, fcntl.LOCK_UN)
    return False


def _running() -> dict[str, Any] | None:
    """What the owner wrote; None when there is none, or when it is not that far."""
    with contextlib.suppress(FileNotFoundError), _RECORD.open() as record:
        if _is_locked(record):
            found: dict[str, Any] | None = json.loads(record.read() or "null")
            return found
    return None


def _required() -> dict[str, Any]:
    found = _running()
    if found is None:
        raise UsageError("no cluster is up; `up` starts one")
    return found


def _up(*words: str) -> None:
    if _running():
        raise UsageError("a cluster is up already; `down` ends it")
    with _LOG.open("w") as log:
        owner = subprocess.Popen(
            [sys.executable, "-m", "pkg.testing.kubernetes", "run", *words], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip
    for _ in _until(START_TIMEOUT_S):
        if found := _running():
            print(f"export KUBECONFIG={found['kubeconfig']}")  # noqa: T201 - its output
            return
        if owner.poll() is not None:
            raise UsageError(_LOG.read_text()[-3000:].strip())
    raise UsageError(f"the cluster is not up within {START_TIMEOUT_S:g} s; see {_LOG}")


def _down() -> None:
    pid = _required()["pid"]
    os.kill(pid, signal.SIGTERM)
    for _ in _until(STOP_TIMEOUT_S):
        with _RECORD.open() as record:
            if not _is_locked(record):
                return
    raise UsageError(f"process {pid} does not end within {STOP_TIMEOUT_S:g} s")


def _load(*names: str) -> None:
    containerd = _required().get("containerd")
    if containerd is None:
        raise UsageError("this cluster has no real node, so it needs no images")
    for name in names or ("/dev/stdin",):
        with Path(name).open("rb") as archive:
            import_archive(containerd, archive)


def _kubectl(*words: str) -> None:
    kubectl = prepared_part("kubernetes") / "root/usr/bin/kubectl"
    os.execve(kubectl, ["kubectl", *words], {**os.environ, "KUBECONFIG": _required()["kubeconfig"]})  # noqa: S606


def _until(timeout_s: float) -> Iterator[None]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        yield
        time.sleep(0.1)


def _main(words: list[str]) -> None:
    match words:
        case ["run", *rest] if set(rest) <= {"--fake"}:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
            _run(is_fake="--fake" in rest)
        case ["up", *rest] if set(rest) <= {"--fake"}:
            _up(*rest)
        case ["down"]:
            _down()
        case ["load", *rest]:
            _load(*rest)
        case ["kubectl", *rest]:
            _kubectl(*rest)
        case _:
            raise UsageError(__doc__.strip())


if __name__ == "__main__":
    try:
        _main(sys.argv[1:])
    except UsageError as error:
        sys.exit(str(error))
