"""What the resource types of one ingress work with together, and what follows from several of its parts."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pkg.desired.route import deployments_of
from svc.krane.ingress.addresses_in_use import AddressesInUse
from svc.krane.ingress.hosts import Hosts
from svc.krane.ingress.quarantine import Quarantine
from svc.krane.ingress.served import Served
from svc.krane.ingress.session import Session
from svc.krane.ingress.spec import IngressSpec
from svc.krane.ingress.table import RouteTable


@dataclass
class IngressState:
    """What is wanted, and what of it was sent to Envoy and acknowledged, over all streams of this process.

    Attributes:
        listeners: the listener resources, serialised.
        static_clusters: clusters of which krane sends no endpoints, serialised.
        hosts: what hostnames have beside their routes.
        table: the route table as it was sent last.
        drain_s: see `ingress.Timing`.
        on_change: called whenever something changed from which conclusions are to be drawn.
    """

    listeners: Sequence[bytes]
    static_clusters: Sequence[bytes]
    hosts: Hosts
    table: RouteTable
    drain_s: float
    on_change: Callable[[], None]
    spec: IngressSpec = field(default_factory=IngressSpec)
    quarantine: Quarantine = field(default_factory=Quarantine)
    served: Served = field(init=False)
    addresses_in_use: AddressesInUse = field(init=False)

    def __post_init__(self) -> None:
        self.served = Served(self.drain_s)
        self.addresses_in_use = AddressesInUse(self.drain_s)

    def now(self) -> float:
        """The loop's clock, in seconds."""
        return asyncio.get_running_loop().time()

    def later(self, delay_s: float, callback: Callable[..., Any], *arguments: Any) -> None:
        """Calls back once, after so many seconds."""
        asyncio.get_running_loop().call_later(delay_s, callback, *arguments)

    def left_alone(self, session: Session) -> frozenset[str]:
        """Named deployments of which nothing is known: Envoy keeps what it holds of them, and nothing is sent."""
        named = deployments_of(self.spec.routes) | self.served.names
        return self.spec.unknown(named & session.held)

    def wanted(self, session: Session) -> frozenset[str]:
        """The clusters. One that is not known and that Envoy does not hold would warm for ever, and all with it."""
        return frozenset(self.spec.endpoints) | self.left_alone(session)
