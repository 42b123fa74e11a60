"""How long to wait before a process is started again. Pure."""

from dataclasses import dataclass


@dataclass
class Backoff:
    """Delays that double while a process keeps dying young, and start over once it has lived `steady_s` seconds.

    The first restart is immediate: users wait for Envoy, and a single crash says nothing about the next start. One
    that dies at its start does so within seconds; one that lived longer worked, and throttling it would only stretch
    every outage.
    """

    first_s: float = 0.1
    longest_s: float = 10.0
    steady_s: float = 5.0
    _failures: int = 0

    def after(self, lived_s: float) -> float:
        """Seconds to wait after a life of `lived_s` seconds."""
        if lived_s >= self.steady_s:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return 0.0
        return min(self.longest_s, self.first_s * 2.0 ** min(self._failures - 2, 16))
