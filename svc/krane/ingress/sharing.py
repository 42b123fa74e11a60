"""Which deployments' requests may share kept connections, decided by how their apps close them. The rule is pure.

Some apps close a connection after every answer without announcing it, and a request that meets the closing is lost:
Envoy cannot know whether the app saw it, and sends nothing twice. So every request has a connection of its own until
the app was seen to close well; then those that are harmless share (`resources.OWN_CONNECTION`). Envoy counts what its
connections ended by, and a runtime key of the deployment says that its requests share.
"""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkg.observability.logging import fields
from svc.krane.ingress.admin import NO_PARAMETERS, EnvoyAdmin
from svc.krane.ingress.resources import SHARE_KEY

log = logging.getLogger(__name__)

TICK_S = 1.0
CLEAN_REQUESTS = 20  # in a row without an unannounced close, before requests share
FIRST_PAUSE_S, MAX_PAUSE_S = 30.0, 3600.0  # without sharing, after a close while requests shared
_TIMEOUT_S = 2.0
_COMPLETED, _CLOSED = "upstream_rq_completed", "upstream_cx_destroy_remote"
_FILTER = rf"^cluster\.[^.]+\.({_COMPLETED}|{_CLOSED})$"


@dataclass(frozen=True)
class Counts:
    """Counts of a deployment since Envoy started: requests answered, connections that the app closed unannounced."""

    completed: int = 0
    closed: int = 0


@dataclass
class _Record:
    seen: Counts
    clean: int = 0
    shares: bool = False
    pause_s: float = FIRST_PAUSE_S
    not_before: float = 0.0


class Sharing:
    """The rule: trust grows with answers, and a single unannounced close ends it for a while, each time longer."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def decide(self, counts: Mapping[str, Counts], now: float) -> frozenset[str]:
        """The deployments whose requests share, by the counts of all that Envoy has; `now` in seconds, monotonic."""
        self._records = {
            name: self._records[name]
            if name in self._records and self._records[name].seen.completed <= one.completed
            else _Record(Counts())  # new, or Envoy is
            for name, one in counts.items()
        }
        for name, one in counts.items():
            self._look(name, self._records[name], one, now)
        return frozenset(name for name, record in self._records.items() if record.shares)

    def _look(self, name: str, record: _Record, counts: Counts, now: float) -> None:
        has_closed = counts.closed > record.seen.closed
        record.clean = 0 if has_closed else record.clean + counts.completed - record.seen.completed
        record.seen = counts
        if has_closed and record.shares:
            record.shares = False
            record.not_before = now + record.pause_s
            log.info(
                "an app closes connections unannounced: one request a connection",
                extra=fields(deployment_id=name),
            )
            record.pause_s = min(MAX_PAUSE_S, record.pause_s * 2)
        elif record.clean >= CLEAN_REQUESTS and now >= record.not_before:
            record.shares = True


class ConnectionSharing:
    """Applies the rule to a running Envoy, by its admin socket. An Envoy that does not answer is tried again."""

    def __init__(self, admin_socket: Path, tick_s: float = TICK_S) -> None:
        self._socket = admin_socket
        self._tick_s = tick_s
        self._rule = Sharing()

    async def run(self) -> None:
        """Looks every `tick_s` seconds, for ever. While it does not run, Envoy keeps what was last set."""
        async with EnvoyAdmin(self._socket, _TIMEOUT_S) as admin:
            while True:
                try:
                    await self._look(admin)
                except (OSError, ValueError) as error:
                    log.debug("envoy's counters cannot be read; trying again", extra=fields(error=str(error)))
                await asyncio.sleep(self._tick_s)

    async def _look(self, admin: EnvoyAdmin) -> None:
        stats = await _json(admin, "/stats", {"format": "json", "usedonly": "", "filter": _FILTER})
        wanted = self._rule.decide(_counts(stats), time.monotonic())
        entries = (await _json(admin, "/runtime")).get("entries", {})
        current = {key.removeprefix(SHARE_KEY) for key in entries if key.startswith(SHARE_KEY)}
        changes = {SHARE_KEY + name: "100" if name in wanted else "" for name in wanted ^ current}
        if changes:
            await admin.post("/runtime_modify", changes)


async def _json(admin: EnvoyAdmin, path: str, parameters: Mapping[str, str] = NO_PARAMETERS) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await admin.get(path, parameters))
    return found


def _counts(stats: Mapping[str, Any]) -> dict[str, Counts]:
    values: dict[str, dict[str, int]] = {}
    for one in stats.get("stats", []):
        if "value" in one:
            _, deployment_id, counter = one["name"].split(".")
            values.setdefault(deployment_id, {})[counter] = one["value"]
    return {name: Counts(found.get(_COMPLETED, 0), found.get(_CLOSED, 0)) for name, found in values.items()}
