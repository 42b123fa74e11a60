"""krane's own metrics, beside the four families that every service has."""

import time
from collections.abc import Callable, Mapping

from pkg.observability.metrics import Metrics

_START_BUCKETS_S = (0.1, 0.25, 0.5, 0.75, 1, 2, 5, 10, 30, 60, 120, 300, 900)


class KraneMetrics:
    """Made once per process. `metrics` is the registry's owner."""

    def __init__(self, metrics: Metrics, region: str) -> None:
        self.metrics = metrics
        self._region = region
        self._starts = metrics.histogram(
            "instance_start_seconds",
            "Instance starts by outcome: creation to first verdict.",
            ["outcome"],
            buckets=_START_BUCKETS_S,
        )
        self._feed = metrics.gauge("feed_connected", "1 while the desired-state feed is open.")
        self._unsupported = metrics.counter(
            "feed_unsupported", "Feed messages that this krane does not support.", ["what"]
        )
        self._version = metrics.gauge("desired_version", "Desired-state version in force.")
        self._applied = metrics.gauge("applied_version", "Desired-state version reported as applied.")
        self._instances = metrics.gauge("instances", "Instances by state, at the last resync.", ["state"])

        self._replica = metrics.gauge(
            "krane_replica",
            "Of several kranes of a region: 1 while this one is leading, counted, in_contact with the api, in_service.",
            ["state"],
        )
        self._terms = metrics.counter("krane_leaderships", "How often this krane became the leader of its region.")

    def instance_started(self, outcome: str, began: float) -> None:
        """A start that began at the monotonic time `began` was decided: "healthy" or "failed"."""
        self._starts.labels(outcome).observe(time.monotonic() - began)

    def feed_connected(self, *, is_connected: bool) -> None:
        """The feed opened or broke."""
        self._feed.set(int(is_connected))

    def feed_unsupported(self, what: str) -> None:
        """The feed sent a kind of event, or requires a capability, that this krane does not know."""
        self._unsupported.labels(what).inc()

    def desired(self, version: int) -> None:
        """A version came into force."""
        self._version.set(version)

    def applied(self, version: int, lag_s: float) -> None:
        """A version was reported as applied, `lag_s` after it arrived."""
        self._applied.set(version)
        self.metrics.reconciled(self._region, lag_s)

    def replica(self, states: Mapping[str, Callable[[], bool]]) -> None:
        """What this replica is among those of its region, asked at each scrape."""
        for name, is_so in states.items():
            self._replica.labels(name).set_function(is_so)

    def leads(self) -> None:
        """This replica became the leader."""
        self._terms.inc()

    def instances(self, counts: dict[str, int]) -> None:
        """How many instances are in each state; states that are not named have none."""
        self._instances.clear()
        for state, count in counts.items():
            self._instances.labels(state).set(count)
