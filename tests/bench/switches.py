"""Figure 5: time from a recorded rollback to the first response of the old version."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.figure import Figure, table
from tests.bench.polling import Watcher
from tests.harness import apps
from tests.harness.stack import Stack

MARK_MS = 200.0
PROJECT = "bench-switch"


@dataclass(frozen=True)
class Switch:
    """One rollback or promote, in milliseconds since its record."""

    kind: str
    answered: float
    done: float
    times: dict[str, float]


@dataclass(frozen=True)
class SwitchReport:
    """The figures and their breakdown."""

    figures: Sequence[Figure]
    switches: Sequence[Switch]
    failures: Sequence[str]

    def text(self) -> str:
        """The breakdown, in median milliseconds."""
        kinds = sorted({one.kind for one in self.switches})
        names = self.switches[0].times
        rows = [
            [name, *(f"{median(s.times[name] for s in self.switches if s.kind == kind):.0f}" for kind in kinds)]
            for name in names
        ]
        return table(["switch, ms since it was recorded", *kinds], rows)

    def as_json(self) -> list[dict[str, Any]]:
        """For the results file."""
        return [{"kind": one.kind, **one.times} for one in self.switches]


def measure(stack: Stack, scratch: Path, rounds: int) -> SwitchReport:
    """Roll back and promote alternately, with both versions on standby, while a client sends a request every 2 ms."""
    directory = apps.app(scratch / "switch", "one")
    stack.sealift("projects", "create", PROJECT)
    deployed = {}
    for body in ("one", "two"):
        apps.edit(directory, body)
        done = stack.deploy(directory, PROJECT)
        if done.code != 0:
            raise RuntimeError(f"sealift deploy ended with {done.code}: {done.err}")
        deployed[body] = done.last_json
    switches = []
    with Watcher(deployed["two"]["url"]) as watcher:
        watcher.wait_for("two")
        for number in range(2 * (rounds + 1)):
            body = ("one", "two")[number % 2]
            kind, *words = ("rollback", "--project", PROJECT) if body == "one" else (
                "promote", deployed["two"]["deployment_id"],
            )  # fmt: skip
            since = len(watcher.changes)
            done = stack.sealift(kind, *words, "--json")
            if done.code != 0:
                raise RuntimeError(f"sealift {kind} ended with {done.code}: {done.err}")
            operation_id = json.loads(done.out.splitlines()[-1])["operation_id"]
            switches.append(_times(stack, kind, operation_id, watcher.wait_for(body, since=since)))
    counted = switches[2:]
    back = [one.answered for one in counted if one.kind == "rollback"]
    forth = [one.answered for one in counted if one.kind == "promote"]
    return SwitchReport(
        (
            Figure("rollback to a warm version: recorded to first answer", "value", back, "ms", mark=MARK_MS),
            Figure("  promote of a warm version", "value", forth, "ms", mark=MARK_MS),
            Figure("  failed requests meanwhile", "value", [float(len(watcher.failures))], "requests", mark=0),
        ),
        counted,
        watcher.failures,
    )


def _times(stack: Stack, kind: str, operation_id: str, answered_at: float) -> Switch:
    """The times of an operation in the database."""
    recorded, ended = stack.rows("SELECT created_at, ended_at FROM operations WHERE id = ?", operation_id)[0]
    sent = stack.rows("SELECT sent_at FROM dispatches WHERE key = ?", operation_id)[0][0]
    routed = stack.rows("SELECT max(created_at) FROM desired_changes WHERE kind = 'route'")[0][0]
    times = {
        "accepted by the workflow engine": sent - recorded,
        "routes moved in the database": routed - recorded,
        "first answer of the other version": answered_at - recorded,
        "operation ended": ended - recorded,
    }
    return Switch(kind, answered_at - recorded, ended - recorded, {k: float(v) for k, v in times.items()})
