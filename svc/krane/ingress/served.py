"""Which deployments Envoy may still send requests to, over all streams of this process."""

from collections.abc import Mapping

from pkg.desired.route import Route, deployments_of


class Served:
    """The route tables that Envoy may be serving, and when each deployment left them.

    Envoy serves the table it acknowledged last or any one sent after it (the acknowledgement may be under way, or lost
    with the stream). Before the first acknowledgement nothing is known: Envoy may serve a table of an earlier krane.

    Attributes:
        acked: The table acknowledged last; None before the first.
        latest: The table sent last, unless Envoy refused it.
        names: Deployments that any of the tables names.
    """

    def __init__(self, drain_s: float) -> None:
        self.acked: Mapping[str, Route] | None = None
        self.latest: Mapping[str, Route] = {}
        self._drain_s = drain_s
        self._open: list[Mapping[str, Route]] = []
        self._left_at: dict[str, float] = {}
        self.names: frozenset[str] = frozenset()

    def sent(self, table: Mapping[str, Route]) -> None:
        """`table` is on its way."""
        self.latest = table
        if table not in self._open:
            self._open.append(table)
        self.names |= deployments_of(table)

    def accepted(self, now: float) -> None:
        """Envoy acknowledged the latest table: nothing older is served from now on."""
        self.acked = self.latest
        self._open.clear()
        names = deployments_of(self.acked)
        left = {d: t for d, t in self._left_at.items() if now - t < self._drain_s and d not in names}
        self._left_at = left | dict.fromkeys(self.names - names, now)
        self.names = names

    def refused(self) -> None:
        """Envoy refused the latest table and keeps what it had."""
        self._open.remove(self.latest)
        self.latest = self._open[-1] if self._open else (self.acked or {})
        self.names = frozenset().union(*(deployments_of(table) for table in (self.acked or {}, *self._open)))

    def lists(self, deployment_id: str) -> bool:
        """Whether Envoy may still send new requests to the deployment."""
        return self.acked is None or deployment_id in self.names

    def drain_left_s(self, deployment_id: str, now: float) -> float:
        """Seconds until requests that were sent before the deployment left have had their time; 0 when over."""
        left_at = self._left_at.get(deployment_id)
        return 0.0 if left_at is None else max(0.0, left_at + self._drain_s - now)
