"""Heals a private engine whose BuildKit hangs: restarts the engine, with live-restore, so that apps run on.

Such an engine answers every other question, so the watchdog does not see it. The worker does: a build is taken and not
begun, and no step of another build moves meanwhile (`pkg.builders.docker.progress`). It reports that in a file. Builds
under way when the engine ends get another attempt.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from pkg.builds import hang_report
from pkg.builds.hang_report import HangReport
from pkg.observability.logging import fields
from svc.standalone.supervised import SupervisedProcess

LOOK_S = 1.0
# A restart that does not help helps no better the next minute, and each one costs the builds under way an attempt.
RESTART_EVERY_S = 600.0

log = logging.getLogger(__name__)


@dataclass
class Restarts:
    """When the engine may be restarted. Pure; times are seconds since the epoch."""

    last_at: float = 0.0

    def refusal(self, report: HangReport, now: float) -> str:
        """Why a report leads to no restart now; "" if it does."""
        if report.reported_at <= self.last_at:
            return "it is of before the last restart"
        if now - self.last_at < RESTART_EVERY_S:
            return (
                f"the last restart was {now - self.last_at:.0f} s ago, and one every {RESTART_EVERY_S:.0f} s is tried"
            )
        return ""


class HangWatch:
    """Takes reports of the worker and restarts the engine, at most once in RESTART_EVERY_S."""

    def __init__(self, engine: SupervisedProcess, report: Path) -> None:
        self._engine = engine
        self._report = report
        self._restarts = Restarts()

    async def run(self) -> None:
        """Until cancelled. A report of before the start is of another supervisor's time, and is dropped."""
        self._report.unlink(missing_ok=True)
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Take a report, if there is one, and act on it. Never raises OSError."""
        try:
            report = hang_report.take(self._report)
        except OSError as error:
            log.warning("a report of the builder can't be removed: %s", error)
            return
        if report is None:
            return
        about = fields(stack_process=self._engine.name, build_id=report.build_id)
        if refusal := self._restarts.refusal(report, time.time()):
            log.error("BuildKit of the private engine hangs; the engine is not restarted: %s", refusal, extra=about)
            return
        log.error(
            "BuildKit of the private engine hangs: a build did not begin within %.0f s. The engine is restarted; apps "
            "run on, builds under way get another attempt", report.waited_s, extra=about,
        )  # fmt: skip
        await self._engine.restart("its BuildKit hangs")
        self._restarts.last_at = time.time()
