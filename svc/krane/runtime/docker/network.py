"""The network of a region's instances on its engine: made once, its addresses assigned by krane.

One bridge with a name of its own, without traffic between containers. An engine assigns addresses by itself as soon as
a container starts, in the order of starts; krane assigns them when it makes the container, for good, so that an
address says whose it is also after a restart of the engine or the machine. An earlier form of the network (`FORM` of
`pkg.networks`) stays beside it until its last instance has gone.
"""

import ipaddress
import logging
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any

import docker.errors

from pkg.docker.calls import EngineCalls, said
from pkg.errors import FailedPrecondition, Unavailable
from pkg.networks import bridge_device, engine_network
from pkg.observability.logging import fields
from svc.krane.runtime.docker import addresses
from svc.krane.runtime.docker.addresses import AddressPool
from svc.krane.runtime.docker.container_spec import Identity
from svc.krane.runtime.port import PendingError

log = logging.getLogger(__name__)

_RANGES_TRIED = 8


class RegionNetwork:
    """The network of one installation and region. `ensure` comes first.

    Args:
        base: `[docker] network` of krane's configuration.
        address_pool: where to take a range from; None lets the engine choose one.
        unusable: addresses that must rest; None: not known yet.
    """

    def __init__(
        self,
        calls: EngineCalls,
        identity: Identity,
        base: str,
        address_pool: IPv4Network | None,
        unusable: Callable[[], frozenset[str] | None],
    ) -> None:
        self.name = engine_network(base)
        self._base = base
        self._calls = calls
        self._identity = identity
        self._address_pool = address_pool
        self._unusable = unusable
        self._pool: AddressPool | None = None
        self._in_use: dict[str, str] = {}
        self._made: dict[str, int] = {}
        self._moment = self._observed_at = 0
        self._is_new = False
        self._has_others = False

    async def ensure(self) -> None:
        """Makes it unless it is there. Idempotent.

        Raises:
            FailedPrecondition: `engine.network_taken`, the name is someone else's.
            Unavailable: `engine.network`, the engine refuses.
        """
        found = await self._find()
        if found is None:
            await self._make()
            self._is_new = True
            found = await self._find()
            if found is None:
                raise self._refused("it vanished right after it was made")
        if not self._identity.owns(found.get("Labels")):
            raise FailedPrecondition(
                "engine.network_taken",
                f"the engine has a network {self.name!r} that is not of this installation and region; "
                "choose another name in [docker] network, or remove it: docker network rm " + self.name,
            )
        self._pool = AddressPool(IPv4Network(found["IPAM"]["Config"][0]["Subnet"]), self._identity.region)
        self._has_others = len(await self._ours()) > 1
        log.info("network %s holds %d instances", self.name, self._pool.size)

    def moment(self) -> int:
        """Now, for `observed`: take it before the call to the engine."""
        return self._moment

    def observed(self, in_use: Mapping[str, str], asked_at: int) -> None:
        """Takes the addresses of all containers on the network: container name -> address.

        What was made since `asked_at` may be missing in the engine's answer, and keeps its address. Of two answers that
        overtake each other the later question counts.
        """
        if asked_at < self._observed_at:
            return
        self._observed_at = asked_at
        self._made = {name: made for name, made in self._made.items() if made > asked_at}
        self._in_use = {**{name: self._in_use[name] for name in self._made}, **in_use}

    def gone(self, container_name: str) -> None:
        """A container was removed: its address is not assigned again until the ingress no longer uses it."""
        self._in_use.pop(container_name, None)
        self._made.pop(container_name, None)

    def take(self, *, is_live: bool) -> str:
        """Leases an address. Raises PendingError, Unavailable before `ensure`."""
        if self._pool is None:
            raise Unavailable("engine.unavailable", "the engine has not answered yet since krane started")
        unusable = self._unusable()
        if unusable is None and not self._is_new:
            raise PendingError("", "waits for Envoy to say that it serves nothing of before: is Envoy running?")
        return self._pool.take(self._in_use.values(), unusable or (), is_live=is_live)

    def end_lease(self, container_name: str, address: str, *, is_made: bool) -> None:
        """Ends a lease: the container has the address now, or does not exist."""
        if is_made:
            self._moment += 1
            self._in_use[container_name], self._made[container_name] = address, self._moment
        if self._pool is not None:
            self._pool.end_lease(address)

    async def remove_old(self, networks_in_use: Iterable[str]) -> None:
        """Removes networks of an earlier form that no container of ours is on. Idempotent."""
        if not self._has_others:
            return
        others = [one for one in await self._ours() if one["Name"] != self.name]
        for one in others:
            if one["Name"] in networks_in_use:
                continue
            try:
                await self._calls.call(self._calls.client.remove_network, one["Id"])
                log.info("old network %s removed", one["Name"])
            except docker.errors.APIError as error:  # a container of someone else is on it
                log.info("old network %s stays", one["Name"], extra=fields(error=said(error)))
        self._has_others = bool(others)

    async def _find(self) -> dict[str, Any] | None:
        try:
            return dict(await self._calls.call(self._calls.client.inspect_network, self.name))
        except docker.errors.NotFound:
            return None
        except docker.errors.APIError as error:
            raise self._refused(said(error)) from error

    async def _ours(self) -> list[dict[str, Any]]:
        labels = [f"{name}={value}" for name, value in self._identity.labels().items()]
        try:
            found = await self._calls.call(self._calls.client.networks, filters={"label": labels})
        except docker.errors.APIError as error:
            raise self._refused(said(error)) from error
        return [one for one in found if self._identity.owns(one["Labels"])]

    async def _make(self) -> None:
        refused = "every range of [docker] address_pool is in use"
        for subnet in await self._ranges():
            try:
                await self._create(self.name, subnet)
                return
            except docker.errors.APIError as error:
                if error.status_code == 409:  # another krane of ours was faster
                    return
                refused = said(error)
        raise self._refused(refused)

    async def _ranges(self) -> list[IPv4Network]:
        """Ranges to try, best first."""
        if self._address_pool is None:
            return [addresses.wanted_range(await self._chosen_by_engine())]
        found = await self._calls.call(self._calls.client.networks)
        configured = [one for network in found for one in network["IPAM"]["Config"] or () if one.get("Subnet")]
        subnets = [ipaddress.ip_network(one["Subnet"], strict=False) for one in configured]
        taken = [subnet for subnet in subnets if isinstance(subnet, IPv4Network)]
        return addresses.free_ranges(self._address_pool, taken)[:_RANGES_TRIED]

    async def _chosen_by_engine(self) -> IPv4Network:
        """A range that is free on this machine: engines accept our addresses only in ranges set explicitly."""
        name = f"{self.name}-range"
        try:
            await self._create(name, None)
        except docker.errors.APIError as error:
            if error.status_code != 409:  # 409: left behind by a crash
                raise self._refused(said(error)) from error
        try:
            found = await self._calls.call(self._calls.client.inspect_network, name)
            await self._calls.call(self._calls.client.remove_network, name)
        except docker.errors.APIError as error:
            raise self._refused(said(error)) from error
        return IPv4Network(found["IPAM"]["Config"][0]["Subnet"])

    async def _create(self, name: str, subnet: IPv4Network | None) -> None:
        # Tenants must not reach each other past the ingress.
        options = {"com.docker.network.bridge.enable_icc": "false"}
        ipam: Any = None
        if subnet is not None:
            options["com.docker.network.bridge.name"] = bridge_device(self._base)
            config = {
                "Subnet": str(subnet),
                "Gateway": str(addresses.gateway(subnet)),
                "IPRange": str(addresses.strangers(subnet)),
            }
            ipam = {"Driver": "default", "Config": [config]}
        await self._calls.call(
            self._calls.client.create_network,
            name,
            driver="bridge",
            check_duplicate=True,
            labels=self._identity.labels(),
            options=options,
            ipam=ipam,
        )

    def _refused(self, why: str) -> Unavailable:
        return Unavailable("engine.network", f"network {self.name}: {why}")
