"""The life of one stack: check the machine, start the processes, say when all work, keep them running, end them."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from pkg.config.sections import is_loopback_host
from pkg.lifecycle import Runner
from pkg.observability import liveness
from pkg.observability.logging import fields
from svc.standalone import (
    admin,
    build_limits,
    build_watch,
    drain_api,
    engine,
    envoy,
    health,
    isolation,
    logfiles,
    restate,
)
from svc.standalone.api_client import supervisor_client
from svc.standalone.children import Child
from svc.standalone.command import ROOT
from svc.standalone.config import StandaloneConfig
from svc.standalone.configure import configure
from svc.standalone.engine_hangs import HangWatch
from svc.standalone.environment import forget_secrets
from svc.standalone.errors import StartupError
from svc.standalone.process import identify, write_pidfile
from svc.standalone.render import Stack
from svc.standalone.statedir import StateDir, default_root
from svc.standalone.supervised import SupervisedProcess
from svc.standalone.watchdog import Watchdog, questions

log = logging.getLogger(__name__)

READY_TIMEOUT_S = 90.0
STAGE_TIMEOUT_S = 20.0
LATE_POLL_S = 2.0
STOP_TIMEOUT_S = 40.0
STOPPED_FIRST = ("worker", "krane")


class Supervisor:
    """Owns the processes of one stack.

    Attributes:
        keep_serving: whether a stop leaves Envoy and a private engine running for the next supervisor.
        ready: set once every process was healthy.
    """

    def __init__(self, stack: Stack, endpoints: health.Endpoints, runner: Runner, *, keep_serving: bool) -> None:
        self.keep_serving = keep_serving
        self.ready = asyncio.Event()
        self._stack = stack
        self._endpoints = endpoints
        self._runner = runner
        self._processes: dict[str, SupervisedProcess] = {}

    async def start(self) -> None:
        """Start every process and wait until all work, however long; from their start they are kept running.

        Then the supervisor's own upgrade drain is over: what it held back starts. An operator's drain stays.

        Raises:
            StartupError: a process cannot run on this machine.
        """
        state = self._stack.state
        began = time.monotonic()
        self._runner.spawn("logfiles", logfiles.keep_trimmed(state.logs, self._stack.config.log.max_mib * 1024 * 1024))
        self._runner.spawn("database check", _tell_of_damage(state))
        checks = health.checks(state, self._endpoints)
        guard = isolation.Guard(self._stack, private=self._endpoints.engine_is_private)
        if self._endpoints.engine_is_private:
            private = engine.engine_process(state, self._stack.config, guard.policy)
            self._add(private)
            await engine.wait_answering(state, private)
            self._watch_builds()
        self._runner.spawn("isolation", guard.keep())
        self._add(envoy.envoy_process(self._stack))
        binary = restate.find_binary(self._stack.config.restate.binary, ROOT)
        started = [str(binary), "--no-logo", "--config-file", str(state.config("restate"))]
        self._add(self._child("restate", started, 9.0))
        self._add(self._service("api"))
        # Not required, as each process waits for the others by itself; it saves failed first attempts.
        await health.wait_healthy([check for check in checks if check.name in {"restate", "api"}], STAGE_TIMEOUT_S)
        # Before the api: a build under way fetches its context there, and would fail and use up an attempt.
        self._runner.defer("worker and krane", self._stop_first)
        for name in STOPPED_FIRST:
            self._add(self._service(name))
        watchdog = Watchdog(self._processes, questions(state, self._endpoints))
        self._runner.spawn("watchdog", watchdog.run())
        missing = await health.wait_healthy(checks, READY_TIMEOUT_S - (time.monotonic() - began))
        if missing:
            log.error("not ready after %.0f s: %s", READY_TIMEOUT_S, missing, extra=fields(missing=sorted(missing)))
            say(f"Not everything works yet; see the logs in {state.logs}.\n{self._table(checks, missing)}")
        while missing:
            await asyncio.sleep(LATE_POLL_S)
            missing = {process: text for process, text in (await health.ask_all(checks)).items() if text}
        restate.mark_provisioned(state)
        self.ready.set()
        _notify("READY=1")
        log.info("ready in %.1f s", time.monotonic() - began)
        say(f"Sealift is ready ({time.monotonic() - began:.1f} s). State: {state.root}\n{self._table(checks, {})}")
        if self._endpoints.api_url and not is_loopback_host(self._stack.config.ingress.bind):
            say(f"Other machines reach it with: sealift login {self._endpoints.api_url}")
        ended, active = await drain_api.end_own(supervisor_client(state, self._endpoints.http))
        if ended and not active:
            say("The upgrade's drain is over: queued deploys start now.")
        for drain in active:
            say(f"Still active: drain {drain}. To end it: drain --undo --id {drain.drain_id}")

    def _watch_builds(self) -> None:
        state, limits = self._stack.state, build_limits.of_machine(self._stack.config.builds)
        healer = HangWatch(self._processes[engine.NAME], state.hang_report)
        self._runner.spawn("builder hangs", healer.run())
        watch = build_watch.watch_for(engine.builds_cgroup(state), engine.data_root(state), limits, state.ended_steps)
        if watch:
            self._runner.spawn("build watch", watch.run())

    def _table(self, checks: list[health.Check], wrong: dict[str, str]) -> str:
        return health.table(checks, wrong, {name: process.pid for name, process in self._processes.items()})

    def _add(self, process: SupervisedProcess) -> None:
        self._processes[process.name] = process
        if process.name not in STOPPED_FIRST:
            self._runner.defer(process.name, lambda: self._stop(process))
        try:
            process.start()
        except OSError as error:
            raise StartupError(f"{process.name} could not be started: {error}") from error

    async def _stop(self, process: SupervisedProcess) -> None:
        await (process.let_go() if process.outlives and self.keep_serving else process.stop())

    async def _stop_first(self) -> None:
        await asyncio.gather(*(self._processes[name].stop() for name in STOPPED_FIRST if name in self._processes))

    def _service(self, name: str) -> SupervisedProcess:
        state = self._stack.state
        argv = [sys.executable, "-m", f"build.{name}.main", "--config", str(state.config(name))]
        return self._child(name, argv, 12.0, {liveness.ENVIRONMENT_NAME: str(state.liveness(name))})

    def _child(
        self, name: str, argv: list[str], grace_s: float, more_env: Mapping[str, str] | None = None
    ) -> SupervisedProcess:
        state = self._stack.state
        # glibc would give each thread a heap of its own, and return little of it.
        env = {"MALLOC_ARENA_MAX": "2", **os.environ, **(more_env or {})}
        child = Child(
            argv, log_path=state.log(name), pidfile=state.pidfile(name), cwd=ROOT, env=env, scratch=state.scratch(name)
        )
        return SupervisedProcess(
            name=name, pidfile=state.pidfile(name), launch=child.launch, collect=child.collect, grace_s=grace_s
        )


async def run(config: StandaloneConfig, *, keep_serving: bool = False) -> None:
    """Run a stack until SIGTERM, SIGINT or SIGUSR1.

    SIGTERM and SIGINT end everything, with `keep_serving` all but Envoy and a private engine; SIGUSR1 always leaves
    these two. App containers run on under their engine in any case. Takes at most 40 s to stop.

    Raises:
        StartupError: the stack can't run on this machine; only what ran before is left running.
    """
    forget_secrets(config, os.environ)
    state = StateDir(Path(config.state_dir) if config.state_dir else default_root())
    state.prepare()
    held = state.lock()
    try:
        stack, endpoints = await configure(config, state)
        me = identify(os.getpid())
        if me:
            write_pidfile(state.pidfile("supervisor"), me)
        # One process that hangs may use its time; the others still get theirs.
        runner = Runner(stop_timeout_s=STOP_TIMEOUT_S, cleanup_timeout_s=14.0)
        supervisor = Supervisor(stack, endpoints, runner, keep_serving=keep_serving)
        _handle_signals(supervisor, runner)
        await runner.run(supervisor.start())
    finally:
        state.pidfile("supervisor").unlink(missing_ok=True)
        os.close(held)


def _handle_signals(supervisor: Supervisor, runner: Runner) -> None:
    def hand_over() -> None:
        supervisor.keep_serving = True
        runner.stop("SIGUSR1: Envoy and engine stay")

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, runner.stop, "SIGTERM")
    loop.add_signal_handler(signal.SIGINT, runner.stop, "SIGINT")
    loop.add_signal_handler(signal.SIGUSR1, hand_over)


async def _tell_of_damage(state: StateDir) -> None:
    if problem := await admin.database_problem(state):
        log.error("%s", problem)
        say(problem)


def _notify(message: str) -> None:
    """Notify systemd, if it started us (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


def say(text: str) -> None:
    """To the person at the terminal, or to a log file: what can't be written must not end the supervisor."""
    with contextlib.suppress(OSError):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
