"""One supervised process: started or adopted, watched, started again after a death, ended in order."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pkg.observability.logging import fields
from svc.standalone.backoff import Backoff
from svc.standalone.errors import StartupError
from svc.standalone.process import (
    Identity,
    end,
    is_alive,
    read_pidfile,
    send_signal,
    wait_ended,
    write_pidfile,
)

log = logging.getLogger(__name__)


@dataclass
class SupervisedProcess:
    """A process that should always run.

    Attributes:
        name: in logs, the status table, pidfile and log file names.
        pidfile: written by `launch`, removed when the process has ended.
        launch: starts it and returns who it is.
        collect: called after a death; reaps a child and says how it ended ("exit code 1"), "" when nobody can know.
        grace_s: how long it may take to end after SIGTERM.
        outlives: whether it is adopted from an earlier supervisor, and may be left running by this one.
        restarts: unexpected exits so far.
    """

    name: str
    pidfile: Path
    launch: Callable[[], Identity]
    collect: Callable[[], str] = lambda: ""
    grace_s: float = 10.0
    outlives: bool = False
    backoff: Backoff = field(default_factory=Backoff)
    restarts: int = 0
    last_end: str = ""
    _identity: Identity | None = None
    _task: asyncio.Task[None] | None = None
    _stopping: bool = False
    _hung: str = ""

    @property
    def pid(self) -> int | None:
        """Of the running process; None between two lives."""
        return self._identity.pid if self._identity and is_alive(self._identity) else None

    def start(self) -> None:
        """Start or adopt it now, and keep it running from here on.

        Raises:
            OSError: the first start failed. Later failures are retried.
        """
        self._identity = self._adopted() or self.launch()
        self._task = asyncio.create_task(self._keep(), name=f"keep-{self.name}")

    def end_hung(self, why: str) -> None:
        """Kill it: what hangs hears no request to end. It is started again as after any death."""
        if self._identity:
            self._hung = why
            send_signal(self._identity, signal.SIGKILL)

    async def restart(self, why: str) -> None:
        """Ask it to end, kill it if it does not within `grace_s`, and have it started again. Returns once it ended."""
        if identity := self._identity:
            self._hung = why
            await end(identity, self.grace_s)

    def keep_pidfile(self) -> None:
        """Write the pidfile if it is missing or another's, as after a start on a full disk. Never raises."""
        identity = self._identity
        if identity and is_alive(identity) and read_pidfile(self.pidfile) != identity:
            with contextlib.suppress(OSError):
                write_pidfile(self.pidfile, identity)

    async def stop(self) -> None:
        """End it and do not start it again. Idempotent."""
        await self.let_go()
        identity = self._identity or read_pidfile(self.pidfile)
        if identity and not await end(identity, self.grace_s):
            log.warning(
                "%s did not end within %.0f s and was killed",
                self.name,
                self.grace_s,
                extra=fields(stack_process=self.name),
            )
        self.collect()
        self._identity = None
        self.pidfile.unlink(missing_ok=True)

    async def let_go(self) -> None:
        """Stop watching; the process keeps running. Idempotent."""
        self._stopping = True
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def _adopted(self) -> Identity | None:
        found = read_pidfile(self.pidfile) if self.outlives else None
        if found:
            log.info("%s runs already, adopted", self.name, extra=fields(stack_process=self.name, pid=found.pid))
        return found

    async def _keep(self) -> None:
        while not self._stopping:
            began = time.monotonic()
            if self._identity:
                await wait_ended(self._identity)
                self.last_end = self.collect()
                if self._hung:
                    self.last_end, self._hung = f"a signal from the supervisor ({self._hung})", ""
            self._identity = None
            self.restarts += 1
            wait_s = self.backoff.after(time.monotonic() - began)
            log.warning(
                "%s ended%s; starting it again in %.1f s", self.name, f" with {self.last_end}" if self.last_end else
                "", wait_s, extra=fields(stack_process=self.name, restarts=self.restarts),
            )  # fmt: skip
            await asyncio.sleep(wait_s)
            try:
                self._identity = self.launch()
            except (OSError, StartupError) as error:
                log.error("%s could not be started: %s", self.name, error, extra=fields(stack_process=self.name))
