"""Figure: the p99 of a live app while four hostile builds run on the same machine, over that of an idle machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from pkg import cgroups
from tests.bench.figure import Figure
from tests.bench.rounds import interleaved
from tests.harness import apps
from tests.harness.stack import ROOT, Stack, finish
from tests.harness.wait import eventually

MARK = 1.5
RATE = 50.0
# The builds' own timeout ends them a little after the loaded minute.
OUTLAST_S = 8
DISK_MIB = 2048
# Each presses on one bound for as long as it runs, and stays just below what would end it.
HOSTILE = {
    "forks": "RUN while :; do n=0; while [ $n -lt 2900 ]; do sleep 1 & n=$((n+1)); done; wait; done",
    "hog": 'RUN while :; do awk "BEGIN { s = \\"x\\"; while (1) s = s s }"; done',
    "filler": "RUN while :; do dd if=/dev/zero of=/filler bs=1M count=1500; rm /filler; done",
    "loops": "RUN for n in 1 2 3 4; do (while :; do :; done) & done; wait",
}


@dataclass(frozen=True)
class HostileReport:
    """The figures, and each window."""

    figures: Sequence[Figure]
    windows: Sequence[dict[str, Any]]
    generator: str

    def text(self) -> str:
        """A line a window."""
        lines = [
            f"  {one['kind']:<7} p50 {one['p50']:6.2f}  p90 {one['p90']:6.2f}  p99 {one['p99']:6.2f}  "
            f"max {one['max']:7.2f} ms, {one['failures']} failed {one['failure']}"
            for one in self.windows
        ]
        return "\n".join([f"live app at {RATE:g} requests/s, open loop; the generator {self.generator}", *lines])

    def as_json(self) -> list[dict[str, Any]]:
        """For the results file."""
        return list(self.windows)


def toml(window_s: int) -> str:
    """Of the stack: defaults, but for a disk that stays small, and builds that end by themselves."""
    return f"[builds]\ndisk_mib = {DISK_MIB}\n[limits]\nbuild_slots = 4\nbuild_timeout_s = {window_s + OUTLAST_S}\n"


def measure(stack: Stack, scratch: Path, rounds: int, window_s: int) -> HostileReport:
    """Idle and loaded windows in turn, neither always first. `stack` has an engine of its own."""
    stack.sealift("projects", "create", "live")
    done = stack.deploy(apps.app(scratch / "live", "live"), "live")
    if done.code != 0:
        raise RuntimeError(f"sealift deploy ended with {done.code}: {done.err}")
    for name in HOSTILE:
        stack.sealift("projects", "create", f"hostile-{name}")
    windows: list[dict[str, Any]] = []
    with own_share() as (pid_file, generator):

        def window(kind: str) -> float:
            found = _requests(stack.url("live"), window_s, pid_file)
            took: list[float] = sorted(found["took_ms"])
            cut = quantiles(took, n=100)
            windows.append(
                {"kind": kind, "p50": cut[49], "p90": cut[89], "p99": cut[98], "max": took[-1],
                 "failures": len(found["failures"]), "failure": next(iter(found["failures"]), "")}
            )  # fmt: skip
            return cut[98]

        def loaded(number: int) -> float:
            running = [_start(stack, scratch, name, number) for name in HOSTILE]
            query = "SELECT 1 FROM builds WHERE status = 'running'"
            eventually(lambda: len(stack.rows(query)) == len(HOSTILE), within_s=60, what="all hostile builds run")
            try:
                return window("loaded")
            finally:
                for one in running:
                    finish(one, timeout_s=120)

        pairs = interleaved(rounds, loaded, lambda _: window("idle"), warm_up=0)
    failed = sum(one["failures"] for one in windows if one["kind"] == "loaded")
    return HostileReport(
        (
            Figure("live p99 under four hostile builds, over idle", "ratio", [one for one, _ in pairs], "ms",
                   [other for _, other in pairs], mark=MARK),
            Figure("  failed requests meanwhile", "value", [float(failed)], "requests", mark=0),
            Figure("  p50 under four hostile builds", "value",
                   [median(one["p50"] for one in windows if one["kind"] == "loaded")], "ms"),
        ),
        windows,
        generator,
    )  # fmt: skip


def _start(stack: Stack, scratch: Path, name: str, number: int) -> "subprocess.Popen[str]":
    directory = apps.app(scratch / f"{name}-{number}", build=HOSTILE[name])
    return stack.start_cli("deploy", str(directory), "--project", f"hostile-{name}", "--json")


def _requests(url: str, seconds: int, pid_file: Path | None) -> dict[str, Any]:
    def join() -> None:
        if pid_file:
            pid_file.write_text(str(os.getpid()))

    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.open_loop", url, str(seconds), str(RATE)],
        cwd=ROOT, capture_output=True, text=True, timeout=seconds + 60, check=True, preexec_fn=join,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def own_share() -> Iterator[tuple[Path | None, str]]:
    """A control group for the generator, with as much of the CPU as everything else; where to join it."""
    hierarchy = cgroups.here()
    group = hierarchy.group("cpu", f"/sealift-bench-{os.getpid()}") if hierarchy else None
    try:
        if group is None:
            raise FileNotFoundError("no cpu controller")
        group.mkdir()
    except OSError as error:
        yield None, f"has no share of its own: {error}"
        return
    try:
        file, value = ("cpu.shares", "4096") if hierarchy and hierarchy.version == 1 else ("cpu.weight", "400")
        (group / file).write_text(value)
        yield group / "cgroup.procs", f"has a share of its own ({file} = {value})"
    finally:
        with suppress(OSError):
            group.rmdir()
