"""Holds builds of a private engine to the bounds that neither BuildKit nor a control group holds each step to.

* Disk: BuildKit has no quota, and layers of builds and apps lie in one directory. What the steps under way have written
  is measured; beyond the bound, or when the disk is nearly full, the step that has written most is ended.
* Processes: the control group bounds all builds together. A single step gets three quarters of that, so that others can
  start processes beside it; one that stays at its bound is ended.

The reason goes into the step's own output (`pkg.builds.bounds`), and into a file for the worker: a step that meets a
bound may print so much that the daemon loses the line.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pkg import cgroups
from pkg.builds import bounds, ended_steps
from pkg.builds.bounds import BoundHit
from pkg.builds.ended_steps import EndedStep
from pkg.cgroups import Hierarchy
from pkg.clock import now_ms
from pkg.observability.logging import fields
from svc.standalone import build_steps
from svc.standalone.build_limits import BuildLimits
from svc.standalone.build_steps import RunningStep, Written

LOOK_S = 0.25  # for new steps, and for processes
MEASURE_S = 0.5  # at least between two measurements of the disk
PAUSE_TIMES = 20  # as long as the last measurement took: many files never keep the supervisor busy
MAX_PAUSE_S = 60.0
STEP_SHARE = 0.75  # of the processes of all builds, for one step
FULL_SHARE = 0.95  # of a step's processes: at its bound
FULL_FOR_S = 2.0
ENDS_WITHIN_S = 10.0  # after a kill; then it is killed again
LEAST_BLAMED_BYTES = 16 << 20  # who has written less is not why the disk is full
_MIB = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Space:
    """The disk of the builder.

    Attributes:
        free_bytes: now.
        idle_free_bytes: when no step ran last.
        size_bytes: of the file system.
    """

    free_bytes: int
    idle_free_bytes: int
    size_bytes: int


def writable_bytes(limits: BuildLimits, space: Space) -> int:
    """What the steps under way may write: as configured, else half of what was free before the first of them."""
    return limits.disk_mib * _MIB or space.idle_free_bytes // 2


def choose(written: Mapping[str, int], limits: BuildLimits, space: Space) -> tuple[str, BoundHit] | None:
    """The step to end for the disk's sake, and why; None if all bounds hold. `written` is by step, in bytes. Pure."""
    if not written:
        return None
    total = sum(written.values())
    most = max(written, key=lambda name: written[name])
    if total > (allowed := writable_bytes(limits, space)):
        return most, bounds.of_disk(written[most], total, allowed)
    least = bounds.least_free_bytes(limits.min_free_mib, space.size_bytes)
    if space.free_bytes < least and written[most] >= LEAST_BLAMED_BYTES:
        return most, bounds.of_free_space(written[most], space.free_bytes, least)
    return None


@dataclass
class _Watched:
    """What is known of a step that runs.

    Attributes:
        written: to the disk.
        refused: starts of processes that its bound had refused at the last look.
        full_since: since when it is at its bound of processes; None: it is not.
        ended_at: when it was killed.
        command: once it had as many processes as it may.
    """

    written: Written = field(default_factory=Written)
    refused: int = 0
    full_since: float | None = None
    ended_at: float | None = None
    command: str = ""

    def is_ending(self, now: float) -> bool:
        """Whether it was killed a moment ago: many processes, or much that is not yet on the disk, take time to go."""
        return self.ended_at is not None and now - self.ended_at < ENDS_WITHIN_S


class BuildWatch:
    """Watches the steps in one control group.

    Args:
        group: the control group of all builds.
        data_root: of the engine, on the disk that is bounded.
        limits: with every value chosen.
        ended: file for the steps that were ended (`pkg.builds.ended_steps`).
    """

    def __init__(self, hierarchy: Hierarchy, group: str, data_root: Path, limits: BuildLimits, ended: Path) -> None:
        self._hierarchy = hierarchy
        self._group = group
        self._data_root = data_root
        self._limits = limits
        self._most_processes = int(limits.pids * STEP_SHARE)
        self._ended = ended
        self._watched: dict[str, _Watched] = {}
        self._idle_free_bytes: int | None = None
        self._measure_at = 0.0
        self._ending: set[asyncio.Task[bool]] = set()

    async def run(self) -> None:
        """Until cancelled; an error does not end it."""
        try:
            while True:
                try:
                    await self.look()
                except OSError as error:
                    log.warning("builds could not be watched: %s", error)
                await asyncio.sleep(LOOK_S)
        finally:
            for task in self._ending:
                task.cancel()
            await asyncio.gather(*self._ending, return_exceptions=True)

    async def look(self) -> None:
        """One round: bound what is new, end what is beyond its bound."""
        names = build_steps.names(self._hierarchy, self._group)
        for gone in self._watched.keys() - set(names):
            self._forget(self._watched.pop(gone))
        for name in names:
            if name not in self._watched:
                self._watched[name] = _Watched()
                self._bound_processes(name)
        if not names:
            self._idle_free_bytes = None
        now = time.monotonic()
        full = {name for name in names if self._is_full(name, now)}
        filling = {name for name in names if self._watched[name].full_since == now}
        is_due = bool(names) and now >= self._measure_at
        if not full and not filling and not is_due:
            return
        steps = {one.name: one for one in build_steps.running(self._hierarchy, self._group, self._data_root)}
        for name in filling & steps.keys():
            self._watched[name].command = ended_steps.command_of(build_steps.arguments(steps[name]))
        for name in full & steps.keys():
            self._end(steps[name], bounds.of_processes(self._most_processes))
        if is_due:
            await self._hold_disk(list(steps.values()))
            took_s = time.monotonic() - now
            self._measure_at = time.monotonic() + min(MAX_PAUSE_S, max(MEASURE_S, took_s * PAUSE_TIMES))

    def _bound_processes(self, name: str) -> None:
        place = self._hierarchy.group("pids", f"{self._group}/{name}")
        with contextlib.suppress(OSError):  # it has ended
            if place:
                (place / "pids.max").write_text(str(self._most_processes))

    def _is_full(self, name: str, now: float) -> bool:
        """Whether a step is at its bound of processes, and was so at every look of the last FULL_FOR_S."""
        watched = self._watched[name]
        if watched.is_ending(now):
            return False
        group = f"{self._group}/{name}"
        processes = build_steps.processes_of(self._hierarchy, group)
        # a fork bomb may have fewer at the moment of a look: each of its processes ends when it can't start another
        refused, before = build_steps.refused_processes_of(self._hierarchy, group), watched.refused
        watched.refused = refused
        if processes < self._most_processes * FULL_SHARE and refused <= before:
            watched.full_since = None
            return False
        if watched.full_since is None:
            watched.full_since = now
        return now - watched.full_since >= FULL_FOR_S

    def _forget(self, gone: _Watched) -> None:
        """A step that ended by itself at its bound of processes, as a shell does that can't start one: that is why."""
        if gone.full_since is not None and gone.ended_at is None:
            self._tell(gone.command, bounds.of_processes(self._most_processes))

    async def _hold_disk(self, steps: Sequence[RunningStep]) -> None:
        found = os.statvfs(self._data_root)
        free_bytes = found.f_bavail * found.f_frsize
        if self._idle_free_bytes is None:
            self._idle_free_bytes = free_bytes
        space = Space(free_bytes, self._idle_free_bytes, found.f_blocks * found.f_frsize)
        written = {}
        for step in steps:
            watched = self._watched.get(step.name)
            if watched and not watched.is_ending(time.monotonic()):
                group = f"{self._group}/{step.name}"
                held = await build_steps.open_deleted_bytes(self._hierarchy, group)
                written[step.name] = await watched.written.measure(step) + held
        if chosen := choose(written, self._limits, space):
            name, hit = chosen
            self._end(next(step for step in steps if step.name == name), hit)

    def _end(self, step: RunningStep, hit: BoundHit) -> None:
        """Its output may take time to be read, and other steps do not wait for that."""
        if watched := self._watched.get(step.name):
            watched.ended_at = time.monotonic()
        log.warning("a build step is ended: %s", hit.why, extra=fields(step=step.name, setting=hit.setting))
        self._tell(ended_steps.command_of(build_steps.arguments(step)), hit)
        task = asyncio.create_task(build_steps.end(step, hit), name=f"end-step-{step.name}")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _tell(self, command: str, hit: BoundHit) -> None:
        try:
            ended_steps.add(self._ended, EndedStep(ended_at_ms=now_ms(), command=command, line=hit.line))
        except OSError as error:  # a full disk: the line in the output is left
            log.warning("which step was ended can't be written: %s", error)


def watch_for(group: str, data_root: Path, limits: BuildLimits, ended: Path) -> BuildWatch | None:
    """The watch on this machine; None where no control groups are mounted, so that no step can be found."""
    hierarchy = cgroups.here()
    return BuildWatch(hierarchy, group, data_root, limits, ended) if hierarchy else None
