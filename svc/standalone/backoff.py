"""How long to wait before a part is started again. Pure."""

from dataclasses import dataclass


@dataclass
class Backoff:
    """Delays that double while a part keeps dying young, and start over once it has lived `steady_s` seconds.

    The first restart is immediate: users wait for Envoy, and a single crash says nothing about the next start.
    """

    first_s: float = 0.2
    longest_s: float = 10.0
    steady_s: float = 30.0
    _failures: int = 0

    def after(self, lived_s: float) -> float:
        """Seconds to wait after a life of `lived_s` seconds."""
        if lived_s >= self.steady_s:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return 0.0
        return min(self.longest_s, self.first_s * 2.0 ** min(self._failures - 2, 16))
