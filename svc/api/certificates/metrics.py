"""Figures about certificates: how many there are in which state, and when the first of them expires."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from functools import partial

from pkg.certificates.model import Certificate, ManagedCertificate
from pkg.clock import Clock
from pkg.observability.metrics import Metrics


class Outcome(StrEnum):
    """What the last attempt to get a certificate came to."""

    OK = "ok"
    FAILED = "failed"  # there is one, and its renewal failed
    MISSING = "missing"  # there is none yet


class CertificateMetrics:
    """The figures of one api. Labels are outcomes: names would be unbounded."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._clock = clock
        self._count = metrics.gauge("certificates", "Certificates that are to exist, by outcome.", ["outcome"])
        self._expiry = metrics.gauge(
            "certificate_expiry_seconds", "Until the first certificate with that outcome expires.", ["outcome"]
        )

    def found(self, rows: Iterable[tuple[ManagedCertificate, Certificate | None]]) -> None:
        """What is to exist, each with its newest certificate, in the place of what was found before."""
        counts: Counter[Outcome] = Counter()
        first: dict[Outcome, int] = {}
        for managed, newest in rows:
            if newest is None:
                outcome = Outcome.MISSING
            else:
                outcome = Outcome.OK if managed.failed_at is None else Outcome.FAILED
                first[outcome] = min(newest.not_after, first.get(outcome, newest.not_after))
            counts[outcome] += 1
        self._expiry.clear()
        for outcome in Outcome:
            self._count.labels(outcome.value).set(counts[outcome])
            if outcome in first:
                self._expiry.labels(outcome.value).set_function(partial(self._seconds_until, first[outcome]))

    def _seconds_until(self, at: int) -> float:
        return (at - self._clock()) / 1000
