"""A separate real Restate server, on unix sockets, for tests.

`always_replay`: every wait suspends, so that a handler is replayed from its journal at each turn and a step that is not
deterministic shows at once.
"""

import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 90.0
_NODE = "t"
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_NPM_PLATFORMS = {"x86_64": "x64", "aarch64": "arm64"}


def find_binary() -> Path:
    """restate-server: SEALIFT_RESTATE, else node_modules, else PATH. Raises FileNotFoundError, never skips."""
    arch = _NPM_PLATFORMS.get(platform.machine(), platform.machine())
    places = [
        os.environ.get("SEALIFT_RESTATE", ""),
        str(ROOT / f"node_modules/@restatedev/restate-server-linux-{arch}/bin/restate-server"),
        shutil.which("restate-server") or "",
    ]
    for place in places:
        if place and os.access(place, os.X_OK):
            return Path(place)
    raise FileNotFoundError("restate-server is missing: run `make setup`, or set SEALIFT_RESTATE")


class RestateServer:
    """Runs from `start` to `stop`; its data stays between two starts. Use it as a context.

    Attributes:
        ingress: URL for RestateClient.
        admin: URL for RestateClient.
        public_key: what a worker is to check requests against.
        folder: everything it writes.
    """

    def __init__(self, *, always_replay: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slr-", dir="/tmp"))
        sockets = self.folder / _NODE
        self.ingress = f"unix://{sockets / 'ingress.sock'}"
        self.admin = f"unix://{sockets / 'admin.sock'}"
        self._key_file = self.folder / "identity.pem"
        self.public_key = _make_key(self._key_file)
        self._inactivity = "0s" if always_replay else "1m"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once ingress and admin API answer. Raises RuntimeError with the end of its log."""
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(find_binary()), "--no-logo"], env=self._env(), stdout=output, stderr=output, cwd=self.folder
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        sockets = self.folder / _NODE
        while time.monotonic() < deadline and self._process.poll() is None:
            if _is_up(sockets / "admin.sock", "/health") and _is_up(sockets / "ingress.sock", "/restate/health"):
                return
            time.sleep(0.02)
        self.stop(signal.SIGKILL)
        raise RuntimeError("restate-server did not start:\n" + log.read_text(errors="replace")[-3000:])

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ends the process and waits for it; SIGKILL is a crash. Idempotent."""
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def __enter__(self) -> "RestateServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.folder),  # a killed server leaves its temporary directories
            "DO_NOT_TRACK": "1",
            "RESTATE_CLUSTER_NAME": "t",
            "RESTATE_NODE_NAME": _NODE,
            "RESTATE_BASE_DIR": str(self.folder),
            "RESTATE_LISTEN_MODE": "unix",
            "RESTATE_DEFAULT_NUM_PARTITIONS": "1",
            "RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE": "32 MB",
            "RESTATE_SHUTDOWN_TIMEOUT": "2s",
            "RESTATE_LOG_SERVER__ROCKSDB_DISABLE_WAL_FSYNC": "true",
            "RESTATE_LOG_FORMAT": "compact",
            "RESTATE_LOG_DISABLE_ANSI_CODES": "true",
            "RESTATE_LOG_FILTER": "warn,octocrab=off",
            "RESTATE_ADMIN__DISABLE_WEB_UI": "true",
            "RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL": "50ms",
            "RESTATE_DEFAULT_RETRY_POLICY__MAX_INTERVAL": "500ms",
            "RESTATE_DEFAULT_RETRY_POLICY__MAX_ATTEMPTS": "unlimited",
            "RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": self._inactivity,
            "RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE": str(self._key_file),
        }


def _is_up(path: Path, url: str) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(5)
            one.connect(str(path))
            one.sendall(f"GET {url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return b" 200 " in one.recv(64)
    except OSError:
        return False


def _make_key(path: Path) -> str:
    key = Ed25519PrivateKey.generate()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    path.chmod(0o600)
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "publickeyv1_" + "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text
