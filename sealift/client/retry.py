"""When a call is tried again. Pure."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """Waits between tries: exponential with jitter, bounded in number.

    Attributes:
        first_s: the first wait.
        factor: of each wait over the one before.
        max_s: the longest wait.
        tries: how often a call is made at most, the first included.
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
# About 3 s in all, until a server has answered once: short enough for a person who mistyped the address.
FIRST_CONTACT = Retry()
# About 30 s in all: a server that answered a moment ago is worth waiting for, whatever it takes to start again.
PATIENT = Retry(tries=20)
