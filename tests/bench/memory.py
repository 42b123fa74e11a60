"""Figure 4: memory of the whole stack after a few deploys."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figure import Figure, table
from tests.harness import apps
from tests.harness.stack import PROCESSES, Stack

MARK_MIB = 500.0
AIM_MIB = 350.0
PROJECT = "bench-demo"


@dataclass(frozen=True)
class Usage:
    """Of one process, in MiB.

    Attributes:
        pss: memory of its own and its share of what it shares.
        anonymous: of pss, what it allocated; the rest is mapped from files.
        unique: what would be free if it ended.
        rss: all that is mapped, shared or not.
    """

    part: str
    pss: float
    anonymous: float
    unique: float
    rss: float


@dataclass(frozen=True)
class MemoryReport:
    """The figure, and its parts."""

    figures: Sequence[Figure]
    usages: Sequence[Usage]

    def text(self) -> str:
        """Per process."""
        rows = [[u.part, *(f"{x:.0f}" for x in (u.pss, u.anonymous, u.unique, u.rss))] for u in self.usages]
        sums = [
            sum(column) for column in zip(*((u.pss, u.anonymous, u.unique, u.rss) for u in self.usages), strict=True)
        ]
        return table(
            ["memory, MiB", "PSS", "of it anonymous", "unique", "RSS"], [*rows, ["all", *(f"{x:.0f}" for x in sums)]]
        )

    def as_json(self) -> list[dict[str, object]]:
        """For the results file."""
        return [vars(usage) for usage in self.usages]


def measure(stack: Stack, scratch: Path, settle_s: float) -> MemoryReport:
    """Run the steps of `make demo` on a new stack (deploy, change, deploy, roll back), wait, then measure."""
    directory = apps.app(scratch / "demo", "one")
    stack.sealift("projects", "create", PROJECT)
    for body in ("one", "two"):
        apps.edit(directory, body)
        stack.deploy(directory, PROJECT)
    stack.sealift("rollback", "--project", PROJECT)
    threading.Event().wait(settle_s)
    pids = {part: stack.process(part).pid for part in ("supervisor", *PROCESSES)}
    usages = [usage(part, pid) for part, pid in pids.items()]
    total = sum(one.pss for one in usages)
    name = f"memory (PSS) of the whole stack, {settle_s:.0f} s after a demo"
    figures = (
        Figure(name, "value", [total], "MiB", mark=MARK_MIB, aim=AIM_MIB),
        Figure("  as if no other stack ran on this machine", "value", [alone_mib(list(pids.values()))], "MiB"),
    )
    return MemoryReport(figures, usages)


def alone_mib(pids: Sequence[int]) -> float:
    """Memory of these processes, as if only they shared memory with each other.

    A second stack maps the same programs and libraries and takes over half of their PSS. Here a file counts as often
    as the process that has most of it in memory maps it: near enough, as all of ours use much the same of it.
    """
    anonymous, files = 0.0, dict[str, float]()
    for pid in pids:
        mapped: dict[str, float] = {}
        path = ""
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            words = line.split()
            if not words[0].endswith(":"):
                path = words[5] if len(words) > 5 and words[4] != "0" else ""
            elif words[0] == "Anonymous:":
                anonymous += int(words[1])
                mapped[path] = mapped.get(path, 0) - (int(words[1]) if path else 0)
            elif words[0] == "Rss:" and path:
                mapped[path] = mapped.get(path, 0) + int(words[1])
        for name, kib in mapped.items():
            files[name] = max(files.get(name, 0), kib)
    return (anonymous + sum(files.values())) / 1024


def usage(part: str, pid: int) -> Usage:
    """The kernel's memory figures of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    unique = kib["Private_Clean"] + kib["Private_Dirty"]
    return Usage(part, kib["Pss"] / 1024, kib["Pss_Anon"] / 1024, unique / 1024, kib["Rss"] / 1024)
