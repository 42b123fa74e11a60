"""An ingress that applies in memory, and records what it received: a peer of `EnvoyIngress` for tests."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from pkg.desired.protocol import AppProtocol
from pkg.desired.route import Route, deployments_of
from svc.krane.ingress.port import Applied, Certificate, Challenge, Endpoint, Nack


class RecordingIngress:
    """Applies routes at once, unless `is_held`: then nothing is acknowledged until `release`."""

    def __init__(self) -> None:
        self.endpoints: dict[str, list[Endpoint]] = {}
        self.remembered: dict[str, list[Endpoint]] | None = None
        self.held: frozenset[str] | None = None
        self.routes: dict[str, Route] = {}
        self.certificates: dict[str, Certificate] = {}
        self.challenges: dict[str, Challenge] = {}
        self.protocols: dict[str, AppProtocol] = {}
        self.version = 0
        self.removed: list[str] = []
        self.is_ready = False
        self.is_held = False
        self.nacks: list[Nack] = []
        self._applied = 0
        self._applied_routes: dict[str, Route] = {}
        self._moved = asyncio.Event()

    @property
    def applied_version(self) -> int:
        """See `Ingress`."""
        return self._applied

    def refuse(self, *nacks: Nack) -> None:
        """These routes are refused from now on, and no others."""
        self.nacks = list(nacks)
        self._moved.set()

    def release(self) -> None:
        """Acknowledges everything, now and from now on."""
        self.is_held = False
        self._apply()

    def healthy(self, deployment_id: str) -> list[Endpoint]:
        """The endpoints that would get traffic."""
        return [endpoint for endpoint in self.endpoints.get(deployment_id, []) if endpoint.healthy]

    def remember(self, endpoints: Mapping[str, Sequence[Endpoint]], also_held: Iterable[str] = ()) -> None:
        """See `Ingress`."""
        self.remembered = {deployment_id: list(listed) for deployment_id, listed in endpoints.items()}
        self.endpoints = {**self.remembered, **self.endpoints}
        self.held = frozenset(also_held)

    def held_addresses(self) -> frozenset[str] | None:
        """See `Ingress`."""
        if self.held is None:
            return None
        return self.held.union(e.address for listed in self.endpoints.values() for e in listed)

    def set_endpoints(self, deployment_id: str, endpoints: Sequence[Endpoint]) -> None:
        """See `Ingress`."""
        self.endpoints[deployment_id] = list(endpoints)

    def set_protocols(self, protocols: Mapping[str, AppProtocol]) -> None:
        """See `Ingress`."""
        self.protocols.update(protocols)

    def set_routes(self, routes: Mapping[str, Route], version: int) -> None:
        """See `Ingress`."""
        assert version > self.version
        self.routes, self.version = dict(routes), version
        if not self.is_held:
            self._apply()

    def set_certificates(self, certificates: Mapping[str, Certificate], version: int) -> None:
        """See `Ingress`."""
        self.certificates = dict(certificates)

    def set_challenges(self, challenges: Mapping[str, Challenge], version: int) -> None:
        """See `Ingress`."""
        self.challenges = dict(challenges)

    def remove_deployment(self, deployment_id: str) -> None:
        """See `Ingress`."""
        self.endpoints.pop(deployment_id, None)
        self.removed.append(deployment_id)

    async def wait_nacks(self, seen: Sequence[Nack], timeout_s: float) -> bool:
        """See `Ingress`. `refuse` changes them."""
        return await self._wait(lambda: self.nacks != list(seen), timeout_s)

    async def wait_version(self, version: int, timeout_s: float) -> Applied:
        """See `Ingress`."""
        await self._wait(lambda: self._applied >= version, timeout_s)
        return Applied(self._applied, list(self.nacks))

    def lists(self, deployment_id: str) -> bool:
        """See `Ingress`."""
        return deployment_id in deployments_of(self._applied_routes)

    async def wait_unlisted(self, deployment_id: str, timeout_s: float) -> bool:
        """See `Ingress`."""
        return await self._wait(lambda: not self.lists(deployment_id), timeout_s)

    def mark_ready(self) -> None:
        """See `Ingress`. An Envoy that connects then acknowledges at once."""
        self.is_ready = True
        self.held = frozenset()
        self._moved.set()

    def _apply(self) -> None:
        self._applied, self._applied_routes = self.version, dict(self.routes)
        self._moved.set()

    async def _wait(self, condition, timeout_s: float) -> bool:  # type: ignore[no-untyped-def]
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True
