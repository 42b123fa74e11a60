"""Durations and spans of the starts of one deployment's instances that have no outcome yet."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from pkg.observability.logging import fields
from pkg.observability.tracing import Tracing
from svc.krane.controller.instance import Instance
from svc.krane.metrics import KraneMetrics

log = logging.getLogger(__name__)


@dataclass
class Start:
    """`began`, `away_since`: in seconds of the monotonic clock. `away_s`: for how long no engine has answered."""

    began: float
    away_since: float | None = None
    away_s: float = 0.0
    decided: asyncio.Event = field(default_factory=asyncio.Event)


class StartTimings:
    """At most one start per replica, from the first try to create it until the first verdict."""

    def __init__(
        self, deployment_id: str, tracing: Tracing, metrics: KraneMetrics, monotonic: Callable[[], float]
    ) -> None:
        self._deployment_id = deployment_id
        self._tracing = tracing
        self._metrics = metrics
        self._monotonic = monotonic
        self._starts: dict[int, Start] = {}
        self._spans: set[asyncio.Task[None]] = set()

    def begin(self, instance: Instance, traceparent: str) -> Start:
        """The start under way, a new one when there is none."""
        start = self._starts.get(instance.replica)
        if start is None:
            start = self._starts[instance.replica] = Start(self._monotonic())
            if self._tracing.enabled:
                span = asyncio.create_task(self._trace(instance, traceparent, start.decided))
                self._spans.add(span)
                span.add_done_callback(self._spans.discard)
        return start

    def note_contact(self, replica: int, *, is_there: bool) -> None:
        """Whether the engine or cluster answers: while it does not, the start's time does not pass."""
        start, now = self._starts.get(replica), self._monotonic()
        if start is None:
            return
        if start.away_since is not None:
            start.away_s += now - start.away_since
        start.away_since = None if is_there else now

    def tried_s(self, start: Start) -> float:
        """For how many seconds an engine that answers could not start it. Asked when it has just answered."""
        return self._monotonic() - start.began - start.away_s

    def decide(self, instance: Instance, outcome: str) -> None:
        """Ends the start with "healthy" or "failed". Does nothing when it was decided before."""
        start = self._starts.pop(instance.replica, None)
        if start is None:
            return
        start.decided.set()
        self._metrics.instance_started(outcome, start.began)
        names = {"deployment_id": self._deployment_id, "instance_id": instance.name, "reason": instance.verdict()[1]}
        log.info("instance %s", outcome, extra=fields(**names))

    def forget(self, replica: int) -> None:
        """The replica is gone: its start has no outcome."""
        start = self._starts.pop(replica, None)
        if start is not None:
            start.decided.set()

    def close(self) -> None:
        """Ends the spans."""
        for span in self._spans:
            span.cancel()

    async def _trace(self, instance: Instance, traceparent: str, decided: asyncio.Event) -> None:
        """The span of one start: from here until the first verdict."""
        names = {"deployment_id": self._deployment_id, "instance_id": instance.name}
        with self._tracing.span("krane.start_instance", traceparent=traceparent or None, **names) as span:
            await decided.wait()
            if instance.failure:
                span.fail(instance.verdict()[1])
