"""Figure 3: the time of `sealift --help`, compared with a bare interpreter."""

import os
import subprocess
import sys
import time

from tests.bench.figure import Figure
from tests.bench.rounds import interleaved
from tests.harness.stack import ROOT


def measure(rounds: int) -> list[Figure]:
    """Wall time of whole processes."""
    command = ROOT / ".venv/bin/sealift"
    program = [str(command)] if command.exists() else [sys.executable, "-m", "sealift.cli.main"]
    pairs = interleaved(
        rounds, lambda _: _wall_ms([*program, "--help"]), lambda _: _wall_ms([sys.executable, "-c", "pass"]), warm_up=2
    )
    samples, baseline = [ours for ours, _ in pairs], [theirs for _, theirs in pairs]
    return [
        Figure("sealift --help", "value", samples, "ms", baseline, mark=100),
        Figure("  the same over a bare interpreter", "ratio", samples, "ms", baseline, mark=5),
    ]


def _wall_ms(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=os.environ | {"NO_COLOR": "1"}, check=True)
    return (time.monotonic() - began) * 1000
