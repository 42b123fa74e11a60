"""The addresses that Envoy may still send requests to, over all streams of this process. Pure.

An address is assigned to another app only once it is no longer in use, so that no request reaches the wrong app.
"""

from collections.abc import Iterable, Mapping


class AddressesInUse:
    """Addresses of endpoints that were sent to Envoy and whose removal Envoy has not acknowledged.

    Attributes:
        is_known: Whether all of them are known. In a new process that is so once it has the record of the process
            before it, or has sent Envoy everything: until then Envoy may hold endpoints of an earlier krane.
    """

    def __init__(self, drain_s: float) -> None:
        self._drain_s = drain_s
        self._named: dict[str, frozenset[str]] = {}
        self._left_at: dict[str, float] = {}
        self._before: frozenset[str] = frozenset()
        self.is_known = False

    def remembered(self, named: Mapping[str, Iterable[str]], also: Iterable[str] = ()) -> None:
        """Adds what an earlier process sent, by deployment, and `also`: what else Envoy may still use."""
        for deployment_id, addresses in named.items():
            self._named.setdefault(deployment_id, frozenset(addresses))
        self._before = frozenset(also)
        self.is_known = True

    def sent(self, deployment_id: str, addresses: frozenset[str]) -> None:
        """Records an answer with these endpoints as sent; what was sent before may still be in force."""
        self._named[deployment_id] = self._named.get(deployment_id, frozenset()) | addresses

    def acked(self, deployment_id: str, addresses: frozenset[str], now: float) -> None:
        """Records that Envoy acknowledged exactly these."""
        self._left_at |= dict.fromkeys(self._named.get(deployment_id, frozenset()) - addresses, now)
        self._named[deployment_id] = addresses

    def keep_only(self, deployments: frozenset[str], now: float) -> None:
        """Records that Envoy acknowledged that there are no clusters beside these."""
        for deployment_id in self._named.keys() - deployments:
            self._left_at |= dict.fromkeys(self._named.pop(deployment_id), now)

    def complete(self, now: float) -> None:
        """Records that Envoy acknowledged everything of this process: nothing earlier is left. Idempotent."""
        self._left_at |= dict.fromkeys(self._before, now)
        self._before = frozenset()
        self.is_known = True

    def in_use(self, now: float) -> frozenset[str] | None:
        """The addresses; None while they are not known."""
        if not self.is_known:
            return None
        self._left_at = {a: t for a, t in self._left_at.items() if now - t < self._drain_s}
        return self._before.union(self._left_at, *self._named.values())
