"""Ends processes that hang: those that run, and answer nothing for longer than load explains.

One that refuses, fails or is not ready does answer, and is left alone. Silence counts only while the supervisor itself
ran on time: after a suspend of the machine, or under a load that stops the supervisor too, it counts from zero. All
times are the monotonic clock's.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pkg import local_http
from pkg.observability.logging import fields
from svc.standalone.health import Endpoints
from svc.standalone.statedir import StateDir
from svc.standalone.supervised import SupervisedProcess

ASK_EVERY_S = 2.0
ASK_TIMEOUT_S = 5.0
# How late a round may end before it says more about the machine than about its processes.
LATE_S = 3.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SilenceLimits:
    """How long a process may be silent.

    Attributes:
        silent_s: after it has answered once in its life.
        start_s: until its first answer.
    """

    silent_s: float
    start_s: float


# At least three unanswered questions in a row each. docs/operating.md, "What restarts what", lists these numbers.
SILENCE_LIMITS = {
    "api": SilenceLimits(20.0, 120.0),
    "worker": SilenceLimits(20.0, 120.0),
    "krane": SilenceLimits(20.0, 120.0),
    "restate": SilenceLimits(30.0, 600.0),  # its log is replayed before it listens
    "envoy": SilenceLimits(30.0, 120.0),  # its admin has a thread of its own; ending it costs users a second
    "engine": SilenceLimits(90.0, 600.0),  # many containers, a slow disk
}

Ask = Callable[[], Awaitable[bool]]


def questions(state: StateDir, endpoints: Endpoints) -> dict[str, Ask]:
    """By process: whether it answers anything at all within ASK_TIMEOUT_S."""

    def ask(address: str, path: str) -> Ask:
        async def one() -> bool:
            return await local_http.reacts(address, path, timeout_s=ASK_TIMEOUT_S)

        return one

    asked = {name: ask(f"unix://{state.liveness(name)}", "/") for name in ("api", "worker", "krane")}
    asked["restate"] = ask(f"unix://{state.restate_sockets / 'admin.sock'}", "/health")
    asked["envoy"] = ask(f"unix://{state.socket('envoy')}", "/ready")
    if endpoints.engine_is_private:
        asked["engine"] = ask(f"unix://{endpoints.engine_socket}", "/_ping")
    return asked


@dataclass
class Silence:
    """How long one process has not answered. Pure: call `heard` with each answer, or its absence, and the time.

    Attributes:
        pid: of the process; another one starts from zero.
        since: when it was heard last, or when the watch of it began.
        unanswered: questions since then.
    """

    limits: SilenceLimits
    pid: int
    since: float
    unanswered: int = 0
    has_answered: bool = False

    def heard(self, answered: bool, now: float) -> None:
        """One question's outcome."""
        if answered:
            self.has_answered, self.unanswered, self.since = True, 0, now
        else:
            self.unanswered += 1

    def excuse(self, now: float) -> None:
        """Count from now on: the supervisor itself did not run on time."""
        self.unanswered, self.since = 0, now

    def is_too_long(self, now: float) -> bool:
        """Whether it hangs."""
        allowed_s = self.limits.silent_s if self.has_answered else self.limits.start_s
        return self.unanswered >= 3 and now - self.since >= allowed_s


class Watchdog:
    """Checks every process periodically and ends those that hang; the supervisor starts them again."""

    def __init__(
        self,
        processes: dict[str, SupervisedProcess],
        asked: dict[str, Ask],
        limits: dict[str, SilenceLimits] = SILENCE_LIMITS,
    ) -> None:
        self._processes = processes
        self._asked = asked
        self._limits = limits
        self._silences: dict[str, Silence] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            began = time.monotonic()
            await self.look()
            await asyncio.sleep(ASK_EVERY_S)
            if time.monotonic() - began > ASK_TIMEOUT_S + ASK_EVERY_S + LATE_S:
                for silence in self._silences.values():
                    silence.excuse(time.monotonic())

    async def look(self) -> None:
        """One round: all checks run at once."""
        await asyncio.gather(
            *(self._ask(name, process) for name, process in list(self._processes.items()) if name in self._asked)
        )

    async def _ask(self, name: str, process: SupervisedProcess) -> None:
        process.keep_pidfile()
        pid = process.pid
        if pid is None:
            self._silences.pop(name, None)
            return
        silence = self._silences.get(name)
        if silence is None or silence.pid != pid:
            silence = self._silences[name] = Silence(self._limits[name], pid, time.monotonic())
        answered = await self._asked[name]()
        now = time.monotonic()
        silence.heard(answered, now)
        if process.pid == pid and silence.is_too_long(now):
            silent_s = now - silence.since
            log.error(
                "%s has not answered for %.0f s and is ended", name, silent_s,
                extra=fields(stack_process=name, silence_s=round(silent_s, 1)),
            )  # fmt: skip
            process.end_hung(f"no answer for {silent_s:.0f} s")
            del self._silences[name]
