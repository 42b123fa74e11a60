"""Retry policies. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """Exponential backoff with jitter and a limited number of tries.

    Attributes:
        first_s: the first wait.
        factor: growth of each wait.
        max_s: the longest wait.
        tries: the maximum number of calls, including the first.
    """

    first_s: float = 0.1
    factor: float = 2.0
    max_s: float = 2.0
    tries: int = 6

    def waits(self, rng: random.Random | None = None) -> Iterator[float]:
        """The `tries - 1` waits, each within 75..100 % of its nominal length."""
        nominal = self.first_s
        draw = (rng or random).uniform
        for _ in range(self.tries - 1):
            yield min(nominal, self.max_s) * draw(0.75, 1.0)
            nominal = min(nominal * self.factor, self.max_s)


ONCE = Retry(tries=1)
# About 3 s in total, until the server has answered once: a wrong URL fails soon.
FIRST_CONTACT = Retry()
# About 30 s in total, for a server that has answered before and may be restarting.
PATIENT = Retry(tries=20)
