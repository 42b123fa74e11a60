"""The breakdown of one `sealift deploy`, from its --json events and the server's step times."""

import json
import time
from collections.abc import Iterable
from typing import Any

PHASES = ("CLI start", "scan and git", "pack", "upload", "create", "queued", "building", "deploying", "network",
          "finalizing", "told", "CLI end")  # fmt: skip


class Timeline:
    """One deploy. Feed it lines as they arrive; times are epoch milliseconds of this machine's clock."""

    def __init__(self) -> None:
        self._began = time.time() * 1000
        self._at: dict[str, float] = {}
        self._steps: dict[str, tuple[float, float]] = {}
        self.result: dict[str, Any] = {}
        self.build_steps: dict[str, float] = {}

    def read(self, lines: Iterable[str]) -> None:
        """Read all lines until the program closes its output."""
        for line in lines:
            self._take(json.loads(line), time.time() * 1000)
        self._at["closed"] = time.time() * 1000

    def ended(self) -> None:
        """Record the end of the program."""
        self._at["ended"] = time.time() * 1000

    @property
    def total_ms(self) -> float:
        """Time from start to end of the program."""
        return self._at["ended"] - self._began

    def phases(self) -> dict[str, float]:
        """Milliseconds of each of PHASES; their sum is the total without the gaps between steps."""
        at, steps = self._at, self._steps
        scanned = at.get("scanned", self._began)
        packed = at.get("packed", scanned)
        uploaded = at.get("uploaded", packed)
        queued_at = steps["queued"][0]
        ended_at = max(start + took for start, took in steps.values())
        return {
            "CLI start": at["first"] - self._began,
            "scan and git": scanned - at["first"],
            "pack": packed - scanned,
            "upload": uploaded - packed,
            "create": queued_at - uploaded,
            **{name: steps[name][1] for name in PHASES[5:10]},
            "told": at["result"] - ended_at,
            "CLI end": at["ended"] - at["result"],
        }

    def _take(self, event: dict[str, Any], now: float) -> None:
        kind = event["event"]
        self._at.setdefault("first", now)
        if kind == "note" and event["text"].startswith("context:"):
            self._at["scanned"] = now
        elif kind in ("packed", "uploaded", "created"):
            self._at[kind] = now
        elif kind == "step" and event["state"] != "started":
            self._steps[event["name"]] = (float(event["started_at"]), float(event["duration_ms"]))
        elif kind == "build_step" and event["state"] in ("completed", "cached"):
            self.build_steps[event["name"]] = float(event["duration_ms"])
        elif kind == "result":
            self._at["result"] = now
            self.result = event
