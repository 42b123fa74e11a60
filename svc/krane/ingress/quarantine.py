"""Finds the hosts for which Envoy refuses a route table, so that one bad route cannot hold back the others.

Envoy takes a table whole or not at all. It names the virtual host at fault in most messages; where it does not, the
changes are halved until the refused ones stand alone. Names are checked before, so this is the second line of defence.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pkg.desired.route import Route

_POSITION = re.compile(r"virtual_?hosts\[(\d+)\]", re.IGNORECASE)


REASON_MAX = 512


def reason(message: str) -> str:
    """Envoy's reason, at most 512 characters, without the resource that it may quote before it.

    Of a large resource the quote is all that arrives: Envoy cuts the message, and the reason stood at its end.
    """
    _, end, rest = message.rpartition("\n}\n: ")
    if end:
        return rest.strip()[:REASON_MAX]
    if message.startswith("goo.gle/debug"):
        return "the resource is not valid (Envoy's message was cut before the reason)"
    return message.strip()[:REASON_MAX]


@dataclass(frozen=True)
class Refusal:
    """A route that Envoy does not take, and Envoy's words."""

    route: Route
    message: str


class Quarantine:
    """The quarantine.

    Attributes:
        refusals: Hosts in quarantine. A host leaves it when its route changes.
        limit: How many hosts the next table may change; None for all.
    """

    def __init__(self) -> None:
        self.refusals: dict[str, Refusal] = {}
        self.limit: int | None = None

    def refused(self, changes: list[str], table: Mapping[str, Route], hosts_in_order: list[str], message: str) -> None:
        """Envoy refused `table`, which changed the hosts `changes`; `hosts_in_order` as it was serialised."""
        suspects = [h for h in changes if h in table]  # to drop a host is never at fault
        culprits = self._named(suspects, hosts_in_order, message)
        if not culprits and len(suspects) == 1:
            culprits = suspects
        for hostname in culprits:
            self.refusals[hostname] = Refusal(table[hostname], message)
        if not culprits:
            self.limit = max(1, len(changes) // 2)

    def accepted(self) -> None:
        """Envoy took the latest table: the next one may change twice as many hosts."""
        if self.limit is not None:
            self.limit *= 2

    def holds(self, route: Route) -> bool:
        """Whether Envoy refused this very route."""
        refusal = self.refusals.get(route.hostname)
        return refusal is not None and refusal.route == route

    def keep_only(self, routes: Mapping[str, Route]) -> None:
        """Releases hosts that are gone or have another route now."""
        self.refusals = {h: r for h, r in self.refusals.items() if routes.get(h) == r.route}

    @staticmethod
    def _named(changes: list[str], hosts_in_order: list[str], message: str) -> list[str]:
        positions = {int(n) for n in _POSITION.findall(message)}
        words = set(re.findall(r"[^\s'\",:;()\[\]]+", message))
        by_position = {hosts_in_order[n] for n in positions if n < len(hosts_in_order)}
        return [h for h in changes if h in by_position or h in words]
