"""From command line to running service: arguments, configuration, logs, traces, signals, bounded stop."""

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar, cast

import msgspec

from pkg.buildinfo import current
from pkg.config import ConfigError, Strict, load
from pkg.config.sections import Log
from pkg.config.sections import Tracing as TracingSection
from pkg.ids import new_id
from pkg.lifecycle import Runner
from pkg.lifecycle.runner import STOP_TIMEOUT_S
from pkg.listener import raise_descriptor_limit
from pkg.observability import liveness
from pkg.observability import logging as json_logging
from pkg.observability.trace_export import configure

DEFAULT_CONFIG = "/etc/sealift/sealift.toml"
EXIT_FAILED = 1
EXIT_CONFIG = 2
HARD_STOP_AFTER_S = STOP_TIMEOUT_S + 5.0

log = logging.getLogger(__name__)


class ServiceConfig(Protocol):
    """What the configuration of every service has; it is a `Strict` struct."""

    @property
    def instance_id(self) -> str | None:
        """Name of this process in logs, metrics and traces; empty: one is made at every start."""

    @property
    def log(self) -> Log:
        """Logging."""

    @property
    def tracing(self) -> TracingSection:
        """Traces."""


C = TypeVar("C", bound=ServiceConfig)


def run_service(
    name: str, kind: type[C], run: Callable[[C, Runner], Awaitable[None]], argv: Sequence[str] | None = None
) -> NoReturn:
    """Run the service until SIGTERM, SIGINT or the error of one of its tasks; ends the process.

    `run(config, runner)` builds the parts, registers them with the runner and returns; `config.instance_id` is always
    set when it is called and `tracing.current()` is ready. Exit status: 0 stopped on request, 1 failed, 2 the
    configuration or the command line is wrong. A stop that hangs is ended hard five seconds after its bound.
    """
    path = _parse(name, argv)
    try:
        config = cast("C", load(path, cast("type[Strict]", kind)))
    except ConfigError as error:
        print(f"sealift-{name}: {error.message}", file=sys.stderr)  # noqa: T201 - for a person, before logging
        sys.exit(EXIT_CONFIG)
    instance_id = config.instance_id or new_id("inst")
    config = cast("C", msgspec.structs.replace(cast("Strict", config), instance_id=instance_id))
    json_logging.configure(name, instance_id, config.log.level)
    spans = configure(name, instance_id, config.tracing.endpoint)
    log.info(
        "starting", extra=json_logging.fields(service_version=current().version, config=str(path), pid=os.getpid())
    )
    raise_descriptor_limit()
    with asyncio.Runner() as loop_runner:
        status, abandoned = loop_runner.run(_serve(config, run))
        spans.shutdown()
        logging.shutdown()
        if abandoned:
            _end_now(status)  # closing the loop would wait for them without a bound
    sys.exit(status)


def _parse(name: str, argv: Sequence[str] | None) -> Path:
    parser = argparse.ArgumentParser(
        prog=f"sealift-{name}",
        description=f"The Sealift {name}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,  # the version is one line, however narrow the terminal
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=Path(os.environ.get("SEALIFT_CONFIG") or DEFAULT_CONFIG),
        help=f"TOML configuration [env: SEALIFT_CONFIG] [default: {DEFAULT_CONFIG}]",
    )
    parser.add_argument("--version", action="version", version=f"sealift {name} {current()}")
    path: Path = parser.parse_args(argv).config
    return path


async def _serve(config: C, run: Callable[[C, Runner], Awaitable[None]]) -> tuple[int, bool]:
    """Returns the exit status, and whether a task ignored its cancellation."""
    runner = Runner()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runner.stop, signal.Signals(number).name)
    answering: asyncio.Server | None = None
    watch = loop.create_task(_bound_the_stop(runner), name="stop-bound")

    async def start() -> None:
        await run(config, runner)

    try:
        answering = await _answer_the_supervisor()
        await runner.run(start())
    except ConfigError as error:
        log.error("%s", error.message)
        return EXIT_CONFIG, bool(runner.abandoned)
    except Exception:
        log.exception("failed")
        return EXIT_FAILED, bool(runner.abandoned)
    finally:
        watch.cancel()
        if answering is not None:
            answering.close()
    return 0, False


async def _answer_the_supervisor() -> asyncio.Server | None:
    """From before the start until after the stop, as both may take long without hanging."""
    path = liveness.configured()
    try:
        return None if path is None else await liveness.serve(path)
    except OSError as error:  # a full disk: serving matters more than the answer to a health check
        log.warning("no liveness socket at %s: %s", path, error)
        return None


async def _bound_the_stop(runner: Runner) -> None:
    """From the stop on, a thread watches the clock: not even a blocked loop or executor holds the process."""
    await runner.stopping.wait()
    timer = threading.Timer(HARD_STOP_AFTER_S, _end_hard)
    timer.daemon = True
    timer.start()


def _end_hard() -> None:
    log.critical("the stop took over %d s; ending hard", int(HARD_STOP_AFTER_S))
    _end_now(EXIT_FAILED)


def _end_now(status: int) -> NoReturn:
    sys.stderr.flush()
    os._exit(status)
