"""Programs that end with the process that started them, and the folder in which they keep their state."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pkg.testing.wait import WAIT_S

_LOG_TAIL_BYTES = 3000
_PREFIX = "slk8s-"
_LOCK = "owner"


class StateFolder:
    """A temporary folder of a living process. What processes that have died left behind is removed first.

    Args:
        parent: the folder in which it is made.
        on_leftover: is called with the folder of a process that has died, before it is removed.

    Attributes:
        path: of the folder; only this user may read it.
    """

    def __init__(self, parent: str = tempfile.gettempdir(), on_leftover: Callable[[Path], None] | None = None) -> None:
        for left in Path(parent).glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError), (left / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if on_leftover:
                    on_leftover(left)
                shutil.rmtree(left, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        # Held until this process ends. Before it is, the folder has no lock file, so that nobody removes it.
        self._lock = (self.path / f"{_LOCK}.new").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.path / f"{_LOCK}.new").rename(self.path / _LOCK)

    def remove(self) -> None:
        """Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


class Program:
    """One program with the same command line at each start, its output in a log.

    Start it from the main thread: the kernel ends it when the *thread* that started it ends.

    Args:
        name: in messages, and of its log.
        words: the command line; the first is a path.
        folder: its working directory; the log is in it.
        environment: besides PATH, all that it gets.
    """

    def __init__(
        self, name: str, words: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log_file = folder / f"{name}.log"
        self._words = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, words)]
        self._folder = folder
        self._environment = {"PATH": os.environ["PATH"], **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Raises RuntimeError when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name} does not run:\n{self.log_tail}")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_tail(self) -> str:
        """The end of its output."""
        text = self.log_file.read_bytes() if self.log_file.exists() else b""
        return text[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def start(self) -> None:
        """Starts it if it does not run, and returns at once."""
        if self.is_running:
            return
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder,
                env=self._environment, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """Ends it at once, as a crash does. Idempotent."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Asks it to end, and ends it when it does not within WAIT_S. Idempotent."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(WAIT_S)
        self._process = None

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    def pause(self) -> None:
        """It keeps its connections, accepts new ones, and answers nothing until `resume`."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused program go on."""
        self.send(signal.SIGCONT)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """It answers nothing inside the block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def wait_for(self, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Returns once `is_ready` says so.

        Raises:
            RuntimeError: it has ended, or the time is over; with the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.is_running:
            if is_ready():
                return
            time.sleep(0.05)
        what = f"is not ready within {timeout_s:g} s" if self.is_running else "has ended"
        raise RuntimeError(f"{self.name} {what}; the end of {self.log_file}:\n{self.log_tail}")
