"""Figure: 20 builds at once over the slowest one alone, and what the worker's memory does."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from sealift.ctrl.v1 import build_pb2 as pb
from tests.bench.builds import builder
from tests.bench.figure import Figure
from tests.bench.memory import usage
from tests.harness.stack import Stack

BUILDS = 20
TOML = f"[limits]\nbuild_slots = {BUILDS}\n"
PROJECT = "bench-crowd"
ALONE = 3
SETTLE_S = 5
# It mostly waits, as for downloads: 20 that compute at once measure the machine's cores.
STEP = "RUN for n in 1 2 3 4 5 6 7 8; do sleep 0.25; echo $NONCE part $n of 8; done"


def measure(engine_socket: str, scratch: Path) -> list[Figure]:
    """On a stack of its own, with a slot for each build. Three builds alone first: the slowest one is the baseline."""
    with Stack(engine_socket, toml=TOML) as stack:
        stack.sealift("projects", "create", PROJECT)
        worker = stack.process("worker").pid
        alone, together, memory = asyncio.run(_builds(stack, scratch, lambda: usage("worker", worker).pss))
    return [
        Figure(f"{BUILDS} builds at once, over the slowest one alone", "ratio", [together], "ms", [max(alone)]),
        Figure("  memory (PSS) of the worker before", "value", [memory[0]], "MiB"),
        Figure("  memory (PSS) of the worker after", "value", [memory[1]], "MiB"),
    ]


async def _builds(
    stack: Stack, scratch: Path, memory_mib: Callable[[], float]
) -> tuple[list[float], float, tuple[float, float]]:
    async with builder(stack, PROJECT, scratch / "crowd", STEP) as one:

        async def build() -> pb.Build:
            return await one.end(await one.begin())

        alone = [_took_ms([await build()]) for _ in range(1 + ALONE)][1:]
        before = memory_mib()
        together = _took_ms(await asyncio.gather(*(build() for _ in range(BUILDS))))
        await asyncio.sleep(SETTLE_S)
        return alone, together, (before, memory_mib())


def _took_ms(builds: Sequence[pb.Build]) -> float:
    """By the server's clock, from the first intent to the last end."""
    return float(max(build.ended_at for build in builds) - min(build.created_at for build in builds))
