"""Ends a build that copies or fetches while the engine's disk is nearly full.

What a `RUN` step writes is the supervisor's to bound, which can tell whose it is. COPY, ADD and FROM are written by the
engine itself: nobody can tell which build makes them grow, so every build that is in such a step then is ended.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pkg.builds import bounds
from pkg.builds.failures import BuildFailed, FailureKind
from pkg.telemetry.events import BuildStep, StepState

LOOK_S = 0.5
LOOKS = 2  # in a row
# Half of what builds leave free: a step that writes is ended before, and only then what is left is the engine's.
SHARE = 0.5
_RUN = re.compile(r"^\[[^\]]*\] RUN\b")

T = TypeVar("T")


@dataclass
class CopyingSteps:
    """The steps of one build that run now and that the engine itself writes for."""

    names: dict[str, str] = field(default_factory=dict)

    def note(self, step: BuildStep) -> None:
        """A step as it is now."""
        if step.state is StepState.STARTED and not _RUN.search(step.name):
            self.names[step.step_id] = step.name
        else:
            self.names.pop(step.step_id, None)


@dataclass(frozen=True)
class FreeSpace:
    """The bound of one engine.

    Attributes:
        folder: on the engine's disk; None: it is not known, and nothing is bounded.
        min_free_mib: what builds leave free; 0 means the default.
    """

    folder: Path | None = None
    min_free_mib: int = 0

    def lacking(self) -> tuple[int, int] | None:
        """(free bytes, bytes that builds leave free) when the disk is nearly full."""
        if self.folder is None:
            return None
        try:
            found = os.statvfs(self.folder)
        except OSError:
            return None
        free, least = found.f_bavail * found.f_frsize, bounds.least_free_bytes(
            self.min_free_mib, found.f_blocks * found.f_frsize
        )  # fmt: skip
        return (free, least) if free < least * SHARE else None

    async def hold(self, work: Coroutine[Any, Any, T], copying: CopyingSteps) -> T:
        """The result of `work`, which is cancelled, and awaited, when it copies on a disk that is nearly full.

        Raises:
            BuildFailed: then, with kind DISK_LIMIT.
        """
        working, looks = asyncio.create_task(work, name="build-within-free-space"), 0
        try:
            while not working.done():
                await asyncio.wait({working}, timeout=LOOK_S)
                lacks = self.lacking()
                looks = looks + 1 if lacks and copying.names else 0
                if lacks and looks >= LOOKS and not working.done():
                    raise BuildFailed(FailureKind.DISK_LIMIT, _message(next(iter(copying.names.values())), *lacks))
            return working.result()
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await working


def _message(step: str, free_bytes: int, least_bytes: int) -> str:
    return (
        f"the build was ended in the step {step!r}: {bounds.of_copying(free_bytes, least_bytes).why}. Let it copy less,"
        " or let the operator free space or change the setting, then try again"
    )
