"""Figures of requests, as values that add up."""

from dataclasses import dataclass, field
from typing import NamedTuple

from pkg.access.latency import Latencies, merged

MINUTE_S, HOUR_S = 60, 3600
STEPS_S = (MINUTE_S, HOUR_S)
# How long the figures of a step are kept.
KEPT_MS = {MINUTE_S: 24 * 3600 * 1000, HOUR_S: 30 * 24 * 3600 * 1000}


class Answers(NamedTuple):
    """Answers by the class of their status."""

    status_1xx: int = 0
    status_2xx: int = 0
    status_3xx: int = 0
    status_4xx: int = 0
    status_5xx: int = 0


NO_ANSWERS = Answers()


@dataclass(frozen=True, slots=True)
class AccessFigures:
    """Requests that ended.

    Attributes:
        app: answered by the app.
        ingress: answered by the ingress in its place.
        unanswered: the client went away before an answer.
        bytes_in: bodies of requests, in bytes.
        bytes_out: bodies of answers, in bytes.
        latencies: until the app's answer began; not of streams whose answer begins before the request ends.
    """

    app: Answers = NO_ANSWERS
    ingress: Answers = NO_ANSWERS
    unanswered: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    latencies: Latencies = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(self.app) + sum(self.ingress) + self.unanswered

    @property
    def errors(self) -> int:
        """Answered with a status of the class 5xx."""
        return self.app.status_5xx + self.ingress.status_5xx

    def __add__(self, other: "AccessFigures") -> "AccessFigures":
        return AccessFigures(
            Answers(*map(sum, zip(self.app, other.app, strict=True))),
            Answers(*map(sum, zip(self.ingress, other.ingress, strict=True))),
            self.unanswered + other.unanswered,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            merged(self.latencies, other.latencies),
        )
