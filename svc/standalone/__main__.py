"""The command line of the supervisor. Exit codes: 0 as asked, 1 not, 2 wrong configuration or usage."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from pkg.config import ConfigError
from pkg.observability import logging as observability
from svc.standalone import admin, drain_api, engine, health, isolation
from svc.standalone.api_client import ApiRefusedError, supervisor_client
from svc.standalone.command import ROOT
from svc.standalone.config import StandaloneConfig, read_config, read_state_dir
from svc.standalone.configure import configure
from svc.standalone.detach import detach
from svc.standalone.down import down, stop_engine
from svc.standalone.drain import drain, undo
from svc.standalone.drain_api import Reason
from svc.standalone.errors import StartupError
from svc.standalone.notes import notes
from svc.standalone.process import is_alive, read_pidfile
from svc.standalone.run import READY_TIMEOUT_S, run, say
from svc.standalone.statedir import StateDir, default_root

DRAIN_TIMEOUT_S = 1800.0
STATUS_TIMEOUT_S = 2.0

ON_WHAT_RUNS = frozenset({"down", "status", "drain", "restored"})

OVERRIDES = {
    "state_dir": ("state-dir", str, "the state directory (default: /var/lib/sealift for root)"),
    "engine.socket": ("engine-socket", str, "unix socket of the Docker engine to use (env SEALIFT_ENGINE_SOCKET)"),
    "engine.private": ("engine", str, "auto, always (start a private engine) or never"),
    "ingress.apex_domain": ("apex", str, "domain below which apps answer"),
    "ports.api": ("api-port", int, "gRPC; 0 in any port flag: a free one"),
    "ports.http": ("http-port", int, "health, uploads, JSON"),
    "ports.worker": ("worker-port", int, "called by Restate"),
    "ports.worker_metrics": ("worker-metrics-port", int, "/metrics of the worker"),
    "ports.krane_metrics": ("krane-metrics-port", int, "/metrics of krane"),
    "ports.ingress": ("ingress-port", int, "apps"),
    "ports.ingress_tls": ("ingress-tls-port", int, "apps and the api, by HTTPS"),
}


def parser() -> argparse.ArgumentParser:
    """All commands; `up` is the default."""
    made = argparse.ArgumentParser(prog="python -m svc.standalone", description="A whole Sealift on one machine.")
    made.add_argument(
        "command",
        nargs="?",
        choices=["up", "down", "status", "drain", "configure", "restored", "engine"],
        default="up",
    )
    made.add_argument(
        "--config", type=Path, default=os.environ.get("SEALIFT_CONFIG"), help="TOML file (env SEALIFT_CONFIG)"
    )
    for key, (flag, kind, text) in OVERRIDES.items():
        made.add_argument(f"--{flag}", dest=key, type=kind, help=text)
    made.add_argument(
        "--keep-serving", action="store_true", help="up: SIGTERM leaves Envoy and a private engine running"
    )
    made.add_argument("--detach", action="store_true", help="up: start in the background, return when ready")
    made.add_argument("--apps", action="store_true", help="down: also remove the app containers of this installation")
    made.add_argument("--json", action="store_true", help="status: one JSON object")
    made.add_argument(
        "--timeout-s", type=float, default=DRAIN_TIMEOUT_S,
        help="drain: after it, what is under way is cancelled (default: %(default).0f)",
    )  # fmt: skip
    made.add_argument(
        "--kill", action="store_true", help="drain: at last, end what can't continue; the next start undoes what it did"
    )
    made.add_argument("--undo", action="store_true", help="drain: end it; with the last one, queued deploys start")
    made.add_argument(
        "--reason", type=Reason, choices=list(Reason), default=Reason.UPGRADE,
        help="drain: the next start ends an upgrade's drain, an operator's stays until --undo (default: %(default)s)",
    )  # fmt: skip
    made.add_argument("--id", default="", help="drain --undo: which one, as `status` lists them")
    made.add_argument("--stop", action="store_true", help="engine: end the private engine and all of its containers")
    return made


def main(argv: list[str] | None = None) -> int:
    """Run one command."""
    given = parser().parse_args(argv)
    try:
        overrides = {key: getattr(given, key) for key in OVERRIDES if getattr(given, key) is not None}
        if socket := os.environ.get("SEALIFT_ENGINE_SOCKET"):
            overrides.setdefault("engine.socket", socket)
        if given.command in ON_WHAT_RUNS:
            return _on_what_runs(StateDir(Path(read_state_dir(given.config, overrides) or default_root())), given)
        config = read_config(given.config, overrides)
        state = StateDir(Path(config.state_dir or default_root()))
        if given.command == "configure":
            return asyncio.run(_configure(config, state))
        if given.command == "engine":
            return asyncio.run(_engine(config, state, stop=given.stop))
        if given.detach:
            return asyncio.run(_up_detached(state, sys.argv[1:] if argv is None else argv))
        _configure_logging(config)
        asyncio.run(run(config, keep_serving=given.keep_serving))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    except ConfigError as error:
        return _fail(error.message, 2)
    except (StartupError, OSError) as error:
        return _fail(str(error), 1)
    return 0


def _on_what_runs(state: StateDir, given: argparse.Namespace) -> int:
    if given.command == "restored":
        admin.become_restored(state)
    if given.command == "down":
        return _down(state, with_apps=given.apps)
    if given.command == "status":
        return asyncio.run(_status(state, as_json=given.json))
    return asyncio.run(_drain(state, given))


def _down(state: StateDir, *, with_apps: bool) -> int:
    ended = asyncio.run(down(state, with_apps=with_apps))
    say(f"Ended: {', '.join(ended)}. State stays in {state.root}." if ended else f"Nothing runs in {state.root}.")
    return 0


async def _drain(state: StateDir, given: argparse.Namespace) -> int:
    """Interrupted by SIGTERM or a lost terminal as by Ctrl-C."""
    if given.undo:
        await undo(state, say, reason=given.reason, drain_id=given.id)
        return 0
    this = asyncio.current_task()
    assert this
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    return 0 if await drain(state, given.timeout_s, say, reason=given.reason, may_kill=given.kill) else 1


async def _configure(config: StandaloneConfig, state: StateDir) -> int:
    """Writes keys and configuration for those who start the services as containers; prints their addresses."""
    state.prepare()
    held = state.lock()
    try:
        _, endpoints = await configure(config, state, check_ports=False)
    finally:
        os.close(held)
    say(msgspec.json.format(msgspec.json.encode(endpoints), indent=2).decode())
    return 0


async def _status(state: StateDir, *, as_json: bool) -> int:
    endpoints = read_pidfile(state.pidfile("supervisor")) and health.read_endpoints(state)
    if not endpoints:
        say(
            json.dumps({"ready": False})
            if as_json
            else f"No supervisor runs in {state.root}. Start one with `make up`."
        )
        return 1
    asked = health.checks(state, endpoints)
    wrong = await health.ask_all(asked)
    pids = {check.name: found.pid if (found := read_pidfile(state.pidfile(check.name))) else None for check in asked}
    active: tuple[drain_api.Drain, ...] = ()
    with contextlib.suppress(OSError, ApiRefusedError):  # an api that does not answer is named by its own line
        active = (
            await drain_api.read_status(supervisor_client(state, endpoints.http), timeout_s=STATUS_TIMEOUT_S)
        ).drains
    report = isolation.read_report(state)
    if as_json:
        say(health.as_json(endpoints, wrong, pids, [one.as_json() for one in active], msgspec.to_builtins(report)))
        return 1 if any(wrong.values()) else 0
    say(health.table(asked, wrong, pids))
    for note in await notes(state):
        say(f"  {note}")
    for line in report.lines(time.time()) if report else ["  isolation: not checked yet"]:
        say(line)
    for one in active:
        began = time.strftime("%H:%M:%S", time.localtime(one.began_ms / 1000))
        say(f"  draining since {began}, {one}: deploys are recorded and start after {one.ended_by}")
    return 1 if any(wrong.values()) else 0


async def _engine(config: StandaloneConfig, state: StateDir, *, stop: bool) -> int:
    """Start a private engine alone, if the machine needs one, and print the socket to use."""
    if stop:
        await stop_engine(state, everything=True, keep_network=False)
        return 0
    state.prepare()
    if not read_pidfile(state.pidfile(engine.NAME)) and not await engine.wants_private(config):
        say(config.engine.socket)
        return 0
    process = engine.engine_process(state, config, lambda: isolation.policy(config, ()))
    process.start()
    try:
        await engine.wait_answering(state, process)
    except StartupError:
        await process.stop()
        raise
    await process.let_go()
    say(str(engine.private_socket(state)))
    return 0


async def _up_detached(state: StateDir, argv: list[str]) -> int:
    """Start the supervisor in the background, or find it running; return when the stack is ready."""
    state.prepare()
    supervisor = read_pidfile(state.pidfile("supervisor"))
    log_path = state.log("supervisor")
    offset = log_path.stat().st_size if log_path.exists() else 0
    if not supervisor:
        arguments = [word for word in argv if word != "--detach"]
        supervisor = detach(
            [sys.executable, "-m", "svc.standalone", *arguments],
            pidfile=state.run / "detached.pid", log_path=log_path, env=os.environ, cwd=ROOT,
        )  # fmt: skip
        (state.run / "detached.pid").unlink(missing_ok=True)
    loop = asyncio.get_running_loop()
    end = loop.time() + READY_TIMEOUT_S
    while loop.time() < end and is_alive(supervisor):
        endpoints = health.read_endpoints(state)
        if endpoints and endpoints.pid == supervisor.pid:
            wrong = await health.wait_healthy(health.checks(state, endpoints), 0.5)
            if not wrong:
                return await _status(state, as_json=False)
        await asyncio.sleep(health.POLL_S)
    with log_path.open(errors="replace") as log:
        log.seek(offset)
        tail = "".join(log.readlines()[-15:])
    state_of_it = "did not get ready" if is_alive(supervisor) else "ended"
    return _fail(f"the supervisor {state_of_it}; the end of {log_path}:\n{tail}", 1)


def _configure_logging(config: StandaloneConfig) -> None:
    if sys.stderr.isatty():
        logging.basicConfig(
            level=config.log.level.upper(), format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"
        )
    else:
        observability.configure("standalone", f"standalone-{os.getpid()}", config.log.level)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"sealift: {message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
