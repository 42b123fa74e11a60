"""Tells a BuildKit that hangs from one that is slow: over all builds of one engine, by whether any step moves."""

import logging
import time
from pathlib import Path

from pkg.buildkit import NotBegunError
from pkg.builds import hang_report
from pkg.builds.hang_report import HangReport

RESTARTED = "BuildKit hangs: it took the build and did not begin it within {waited_s:.0f} s. The engine is restarted"
BUSY = "BuildKit is slow: it did not begin the build within {waited_s:.0f} s, while steps of other builds went on"

log = logging.getLogger(__name__)


class Progress:
    """Of the steps of all builds that a builder has under way.

    Args:
        report: where a hang is reported to who can restart the engine; None if nobody can.
    """

    def __init__(self, report: Path | None) -> None:
        self._report = report
        self._moved_at = 0.0

    def moved(self) -> None:
        """A step of any build has begun or ended. Output is no progress: a hung scheduler lets commands print on."""
        self._moved_at = time.monotonic()

    def explain(self, error: NotBegunError, build_id: str) -> str:
        """For the build log: that it is slow, or that it hangs, which is reported. Never raises."""
        if time.monotonic() - self._moved_at < error.waited_s:
            return BUSY.format(waited_s=error.waited_s)
        log.error("BuildKit hangs: it takes builds and begins none", extra={"build_id": build_id})
        if self._report is None:
            return error.message
        report = HangReport(reported_at=time.time(), build_id=build_id, waited_s=error.waited_s)
        try:
            hang_report.write(self._report, report)
        except OSError as failed:
            log.error("the hang could not be reported: %s", failed)
            return error.message
        return RESTARTED.format(waited_s=error.waited_s)
