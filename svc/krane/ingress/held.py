"""Which addresses Envoy may still send requests to, over all streams of this process. Pure.

An address is given to another app only once it is not held any more, so that no request ever reaches the wrong app.
"""

from collections.abc import Iterable, Mapping


class HeldAddresses:
    """What Envoy was told of endpoints and has not acknowledged to have forgotten.

    Attributes:
        is_known: Whether all of them are known. They are not before a new process has a memory of the one before it, or
            has told Envoy everything: Envoy may hold endpoints of an earlier krane.
    """

    def __init__(self, drain_s: float) -> None:
        self._drain_s = drain_s
        self._named: dict[str, frozenset[str]] = {}
        self._left_at: dict[str, float] = {}
        self._before: frozenset[str] = frozenset()
        self.is_known = False

    def remembered(self, named: Mapping[str, Iterable[str]], also: Iterable[str] = ()) -> None:
        """What an earlier process had told, by deployment, and what else Envoy may not have forgotten."""
        for deployment_id, addresses in named.items():
            self._named.setdefault(deployment_id, frozenset(addresses))
        self._before = frozenset(also)
        self.is_known = True

    def sent(self, deployment_id: str, addresses: frozenset[str]) -> None:
        """An answer with these endpoints is on its way; what was told before may still be in force."""
        self._named[deployment_id] = self._named.get(deployment_id, frozenset()) | addresses

    def acked(self, deployment_id: str, addresses: frozenset[str], now: float) -> None:
        """Envoy acknowledged exactly these."""
        self._left_at |= dict.fromkeys(self._named.get(deployment_id, frozenset()) - addresses, now)
        self._named[deployment_id] = addresses

    def keep_only(self, deployments: frozenset[str], now: float) -> None:
        """Envoy acknowledged that there are no clusters beside these."""
        for deployment_id in self._named.keys() - deployments:
            self._left_at |= dict.fromkeys(self._named.pop(deployment_id), now)

    def complete(self, now: float) -> None:
        """Envoy was told everything in this process, and acknowledged it: nothing of before is left. Idempotent."""
        self._left_at |= dict.fromkeys(self._before, now)
        self._before = frozenset()
        self.is_known = True

    def held(self, now: float) -> frozenset[str] | None:
        """The addresses; None: not known yet."""
        if not self.is_known:
            return None
        self._left_at = {a: t for a, t in self._left_at.items() if now - t < self._drain_s}
        return self._before.union(self._left_at, *self._named.values())
