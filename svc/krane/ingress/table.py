"""The route table as one kept message: changing a host touches that host's virtual host only.

Rebuilding the message of 1,000 hosts costs 50 ms of Python; replacing one and serialising costs about one.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pkg.desired.route import Route
from svc.krane.ingress.api_host import ApiSpec, virtual_host
from svc.krane.ingress.hostnames import WILDCARD, spellings
from svc.krane.ingress.hosts import HostOptions, Hosts, routes_before
from svc.krane.ingress.messages import ROUTE, ROUTES, VIRTUAL_HOST, message
from svc.krane.ingress.resources import fill_virtual_host, route_table, virtual_host_template
from svc.krane.ingress.tls import TlsSpec

_Entry = tuple[Route | None, HostOptions]


class RouteTable:
    """The routes by hostname with what hostnames have beside them, and their bytes for Envoy."""

    def __init__(self, hosts: Hosts | None = None, tls: TlsSpec | None = None, api: ApiSpec | None = None) -> None:
        self._hosts = hosts
        self._tls = tls
        self._api = message(VIRTUAL_HOST, virtual_host(api, tls)) if api else None
        self._message = message(ROUTES, route_table(tls.hsts_max_age_s if tls else 0))
        self._template = message(VIRTUAL_HOST, virtual_host_template())
        self._entries: dict[str, _Entry] = {}
        self._bytes: bytes | None = None

    def set(self, routes: Mapping[str, Route]) -> bytes:
        """Makes the table equal to `routes`, with the options that hostnames have now, and returns it serialised."""
        entries = self._wanted(routes)
        hosts = self._message.virtual_hosts
        if gone := self._entries.keys() - entries.keys():
            for index in reversed([i for i, v in enumerate(hosts) if v.name in gone]):
                del hosts[index]
            for hostname in gone:
                del self._entries[hostname]
            self._bytes = None
        moved = {h: entry for h, entry in entries.items() if self._entries.get(h) != entry}
        if moved:
            place = {v.name: v for v in hosts} if moved.keys() & self._entries.keys() else {}
            for hostname, entry in moved.items():
                self._fill(place.get(hostname) or hosts.add(), hostname, *entry)
            self._entries.update(moved)
            self._bytes = None
        if self._bytes is None:
            self._bytes = self._message.SerializeToString()
        return self._bytes

    def hosts(self) -> list[str]:
        """The hostnames in the order of the last serialised table: Envoy reports positions."""
        return [v.name for v in self._message.virtual_hosts]

    def _wanted(self, routes: Mapping[str, Route]) -> dict[str, _Entry]:
        if self._hosts is None:
            return {hostname: (route, HostOptions()) for hostname, route in routes.items()}
        entries: dict[str, _Entry] = {h: (route, self._hosts.options(h)) for h, route in routes.items()}
        for hostname in self._hosts.without_route() - routes.keys():
            entries[hostname] = (_below_wildcard(hostname, routes), self._hosts.options(hostname))
        return entries

    def _fill(self, host: Any, hostname: str, route: Route | None, options: HostOptions) -> None:
        if options.is_api and self._api is not None:
            host.CopyFrom(self._api)
        else:
            host.CopyFrom(self._template)
            if route is not None:
                fill_virtual_host(host, route)
            else:
                host.name = hostname
                host.domains[:] = spellings(hostname)
                del host.routes[:]
        if before := routes_before(hostname, options, self._tls):
            after = list(host.routes)
            del host.routes[:]
            host.routes.extend(message(ROUTE, one) for one in before)
            host.routes.extend(after)


def _below_wildcard(hostname: str, routes: Mapping[str, Route]) -> Route | None:
    """The route that Envoy would take for a hostname without an entry of its own."""
    _, _, parent = hostname.partition(".")
    while parent:
        if route := routes.get(WILDCARD + parent):
            return replace(route, hostname=hostname)
        _, _, parent = parent.partition(".")
    return None
