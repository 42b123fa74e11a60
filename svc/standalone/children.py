"""Starting a child that ends when its supervisor ends, however that happens."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from svc.standalone.logfiles import last_error, open_log
from svc.standalone.process import Identity, identify, write_pidfile

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Child:
    """One child process of the supervisor.

    Start it from the main thread only: the kernel ends it when the *thread* that started it ends.

    Attributes:
        scratch: where it keeps temporary files (TMPDIR), emptied before each start: a killed process leaves its own.
    """

    argv: Sequence[str]
    log_path: Path
    pidfile: Path
    cwd: Path
    env: Mapping[str, str]
    scratch: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _log_size: int = field(default=0, repr=False)

    def launch(self) -> Identity:
        """Start it in a session of its own (a Ctrl-C at the terminal is the supervisor's to handle), output to the log.

        Raises:
            OSError: it could not be executed.
        """
        supervisor = os.getpid()

        def tie_to_supervisor() -> None:
            # SIGKILL: the next start needs the ports and the database now, and every service is built to be killed.
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != supervisor:
                os._exit(1)

        self._empty_scratch()
        with os.fdopen(open_log(self.log_path), "ab") as log:
            self._log_size = log.tell()
            self._process = subprocess.Popen(
                list(self.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.cwd,
                env={**self.env, "TMPDIR": str(self.scratch)},
                start_new_session=True,
                preexec_fn=tie_to_supervisor,  # noqa: PLW1509 - this process has one thread
            )
        # A process that has ended already is a zombie until collected; its identity is only compared.
        identity = identify(self._process.pid) or Identity(self._process.pid, 0, "")
        with contextlib.suppress(OSError):  # a full disk; the process writes it as soon as there is room
            write_pidfile(self.pidfile, identity)
        return identity

    def _empty_scratch(self) -> None:
        """The directory itself stays: on a full disk there is no room for another one."""
        self.scratch.mkdir(mode=0o700, exist_ok=True)
        for left in self.scratch.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)

    def collect(self) -> str:
        """Reap it and say how it ended: the signal, or the exit code with the last error of its log."""
        if self._process is None:
            return ""
        code = self._process.wait()
        self._process = None
        if code <= 0:
            return f"signal {signal.Signals(-code).name}" if code else "exit code 0"
        error = last_error(self.log_path, self._log_size)
        return f"exit code {code} ({error or f'see {self.log_path}'})"
