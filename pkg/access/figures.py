"""Figures of requests, as values that add up."""

from dataclasses import dataclass, field
from typing import NamedTuple

from pkg.access.latency import Latencies, merged, subtracted

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
        bytes_in: sent to the app, with headers.
        bytes_out: received from the app, with headers.
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

    @property
    def is_none(self) -> bool:
        """Whether nothing was counted."""
        return not (self.requests or self.bytes_in or self.bytes_out or self.latencies)

    def since(self, earlier: "AccessFigures") -> "AccessFigures":
        """What was counted between an earlier state of counters and this one. None of it is negative."""
        return AccessFigures(
            Answers(*(max(0, now - then) for now, then in zip(self.app, earlier.app, strict=True))),
            Answers(*(max(0, now - then) for now, then in zip(self.ingress, earlier.ingress, strict=True))),
            max(0, self.unanswered - earlier.unanswered),
            max(0, self.bytes_in - earlier.bytes_in),
            max(0, self.bytes_out - earlier.bytes_out),
            subtracted(self.latencies, earlier.latencies),
        )

    def split(self, parts: int) -> list["AccessFigures"]:
        """As many parts, as equal as whole numbers allow, which add up to this."""
        return [
            AccessFigures(
                Answers(*(_part(value, part, parts) for value in self.app)),
                Answers(*(_part(value, part, parts) for value in self.ingress)),
                _part(self.unanswered, part, parts),
                _part(self.bytes_in, part, parts),
                _part(self.bytes_out, part, parts),
                {b: n for b, count in self.latencies.items() if (n := _part(count, part, parts))},
            )
            for part in range(parts)
        ]

    def __add__(self, other: "AccessFigures") -> "AccessFigures":
        return AccessFigures(
            Answers(*map(sum, zip(self.app, other.app, strict=True))),
            Answers(*map(sum, zip(self.ingress, other.ingress, strict=True))),
            self.unanswered + other.unanswered,
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            merged(self.latencies, other.latencies),
        )


def _part(value: int, part: int, parts: int) -> int:
    return value * (part + 1) // parts - value * part // parts
