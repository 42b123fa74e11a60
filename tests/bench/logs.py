"""Figure: 100,000 lines from a RUN step to the command line that follows, and what they cost the services."""

import asyncio
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from pkg.buildkit.testing_daemon import BuildkitDaemon
from svc.standalone.engine import BUILD_LOG_LIMITS
from tests.bench.builds import builder
from tests.bench.figure import Figure
from tests.harness.stack import Stack

LINES = 100_000
PROJECT = "bench-logs"
PARTS = ("api", "worker")
_PER = 10_000
_STEP = (
    "RUN n=0; while [ $n -lt {lines} ]; do n=$((n+1));"
    " echo compiling module $n of this large program with all of its options; done"
)


@dataclass(frozen=True)
class Following:
    """One build as its follower saw it; CPU in milliseconds.

    Attributes:
        lost: lines that did not arrive; all of them, if any was not in its place.
        took_s: from the first to the last line.
        cpu: of each of PARTS, and of the command line.
    """

    lost: int
    took_s: float
    cpu: dict[str, float]


def measure(scratch: Path, rounds: int) -> list[Figure]:
    """Builds that print LINES lines, each with one that prints a single one, whose cost is subtracted.

    On a modern BuildKit with the limits of the private engine: Docker before 23 loses output that comes faster than it
    is taken over.
    """
    engine = BuildkitDaemon(BUILD_LOG_LIMITS)
    engine.start()
    try:
        with Stack(str(engine.socket)) as stack:
            stack.sealift("projects", "create", PROJECT)
            _follow(stack, scratch, 1)
            pairs = [(_follow(stack, scratch, LINES), _follow(stack, scratch, 1)) for _ in range(rounds)]
    finally:
        engine.stop()
    full = [one for one, _ in pairs]
    return [
        Figure(f"{LINES:,} log lines from RUN to the CLI: lost", "value", [one.lost for one in full], "lines", mark=0),
        Figure("  lines per second", "value", [LINES / one.took_s for one in full], "lines/s"),
        *(
            Figure(f"  CPU of {part}, per {_PER:,} lines", "value",
                   [(many.cpu[part] - none.cpu[part]) * _PER / LINES for many, none in pairs], "ms")
            for part in (*PARTS, "CLI")
        ),
    ]  # fmt: skip


def _follow(stack: Stack, scratch: Path, lines: int) -> Following:
    pids = {part: stack.process(part).pid for part in PARTS}
    before = {part: cpu_ms(pid) for part, pid in pids.items()}
    build_id = asyncio.run(_begin(stack, scratch, lines))
    began = _cpu_of_children_ms()
    process = stack.start_cli("logs", build_id, "--build", "--follow", "--json")
    assert process.stdout is not None
    first = last = 0.0
    numbers: list[int] = []
    out = ""
    for out in process.stdout:
        if "compiling module" in out and (event := json.loads(out)).get("text"):
            last = time.monotonic()
            first = first or last
            numbers.append(int(event["text"].split()[2]))
    code = process.wait()
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    if code != 0:
        raise RuntimeError(f"sealift logs ended with {code}: {out} {errors}")
    cpu = {part: cpu_ms(pid) - before[part] for part, pid in pids.items()}
    cpu["CLI"] = _cpu_of_children_ms() - began
    in_place = numbers == sorted(set(numbers))
    return Following(lines - len(numbers) if in_place else lines, max(last - first, 0.001), cpu)


async def _begin(stack: Stack, scratch: Path, lines: int) -> str:
    async with builder(stack, PROJECT, scratch / "logs", _STEP.format(lines=lines)) as one:
        return await one.begin()


def cpu_ms(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def _cpu_of_children_ms() -> float:
    times = os.times()
    return (times.children_user + times.children_system) * 1000
