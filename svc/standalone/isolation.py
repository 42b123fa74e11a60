"""Enforces the isolation of apps and builds on the engine in use, and reports where it does not hold.

On a private engine: the packet rules of all its containers, the limits of its builds, and the end of processes that a
killed engine lost. On the machine's own engine: the same packet rules for the apps' network, if the supervisor runs as
root; builds run as that engine is configured. The last report is in run/isolation.json, for `status`.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import textwrap
import time
from collections.abc import Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import msgspec

from pkg import cgroups
from pkg.docker import Engine
from pkg.docker.labels import LABEL_INSTALLATION
from pkg.networks import bridge_device
from svc.standalone import build_limits, engine
from svc.standalone.api_client import ApiRefusedError, supervisor_client
from svc.standalone.build_cpu import BuildCpu
from svc.standalone.config import StandaloneConfig
from svc.standalone.egress import Policy, Scope, firewall, resolvers
from svc.standalone.egress.policy import Listener
from svc.standalone.errors import StartupError
from svc.standalone.files import replace
from svc.standalone.render import Stack, network_name
from svc.standalone.statedir import StateDir

log = logging.getLogger(__name__)

CHECK_S = 10.0  # how long rules that another program removed may be away
LOOK_S = 1.0  # until krane has made its network, and for processes of builds
STALE_S = 60.0
_DAEMON_JSON = Path("/etc/docker/daemon.json")


class IsolationGap(msgspec.Struct, frozen=True):
    """A way in which isolation does not hold, and what an operator can do."""

    what: str
    remedy: str


class Report(msgspec.Struct, frozen=True):
    """What the last check found. `checked_at` is in seconds since the epoch; scripts read `gaps` as "lacks"."""

    checked_at: float
    gaps: tuple[IsolationGap, ...] = msgspec.field(default=(), name="lacks")

    def lines(self, now: float) -> list[str]:
        """For people, at 80 columns: empty when there is no gap and the check is recent."""
        gaps = list(self.gaps)
        if now - self.checked_at > STALE_S:
            gaps.append(IsolationGap(f"not checked for {now - self.checked_at:.0f} s", "See the supervisor's log"))
        return [
            line
            for gap in gaps
            for line in textwrap.wrap(
                f"  isolation: {gap.what}. {gap.remedy}.",
                79,
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        ]


def read_report(state: StateDir) -> Report | None:
    """What the supervisor found last; None before its first check."""
    try:
        return msgspec.json.decode(_path(state).read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError):
        return None


def policy(config: StandaloneConfig, ingress: Sequence[str], more_resolvers: tuple[IPv4Address, ...] = ()) -> Policy:
    """What containers reach now: resolvers change while a machine runs.

    Args:
        config: of the stack.
        ingress: host:port of each of its listeners.
        more_resolvers: those that the engine gives its containers beside the machine's.
    """
    found = dict.fromkeys((*resolvers.of_containers(), *more_resolvers))
    return Policy(tuple(found), _listeners(config, ingress), tuple(map(IPv4Network, config.egress.allow)))


def _listeners(config: StandaloneConfig, ingress: Sequence[str]) -> tuple[Listener, ...]:
    found = []
    for listen in filter(None, ingress):
        host, _, port = listen.rpartition(":")
        with contextlib.suppress(AddressValueError):
            address = IPv4Address(host)
            if not address.is_loopback:
                found.append(Listener(int(port), None if address.is_unspecified else address))
    # The proxy in front: what the apps' own addresses name.
    has_proxy = config.ingress.public_port or config.ingress.public_scheme == "https"
    public = config.public_port(0, 0) if has_proxy else 0
    return (*found, Listener(public)) if public else tuple(found)


class Guard:
    """Checks isolation periodically. As root it applies the packet rules, otherwise it only reports."""

    def __init__(self, stack: Stack, *, private: bool) -> None:
        self._stack = stack
        self._state = stack.state
        self._private = engine.private_bridge(stack.state) if private else None
        self._network = network_name(stack.state)
        self._applied: tuple[Scope, Policy] | None = None
        self._stands = firewall.Applied(())
        self._limit_problems: list[str] = []
        self._suspects: set[str] = set()
        self._awaits_network = False
        self._build_cpu: BuildCpu | None = None
        self._installation = ""
        self._api = supervisor_client(stack.state, stack.addresses.http)

    def policy(self) -> Policy:
        """What containers reach, as of now."""
        more = () if self._private else resolvers.of_daemon(_DAEMON_JSON)
        addresses = self._stack.addresses
        return policy(self._stack.config, (addresses.ingress, addresses.ingress_tls), more)

    async def keep(self) -> None:
        """Check periodically until cancelled; an error does not end it."""
        if self._private:
            limits = build_limits.of_machine(self._stack.config.builds)
            self._limit_problems = build_limits.apply(cgroups.here(), engine.cgroup_parent(self._private), limits)
        while True:
            gaps = await self.check()
            self._write(gaps)
            pause = LOOK_S if self._awaits_network else CHECK_S
            end = time.monotonic() + pause
            while (left := end - time.monotonic()) > 0:
                self._mark_builds()
                await asyncio.sleep(min(LOOK_S, left))

    async def check(self) -> list[IsolationGap]:
        """Apply what is missing; the gaps that remain."""
        try:
            return await (self._check_private() if self._private else self._check_shared())
        except (OSError, StartupError) as error:
            log.warning("isolation could not be checked: %s", error)
            return [IsolationGap(f"it could not be checked: {error}", "See the supervisor's log")]

    async def _check_private(self) -> list[IsolationGap]:
        assert self._private
        await self._hold(self._private.scope(bridge_device(self._network)))
        with contextlib.suppress(OSError, ValueError):  # an engine that does not answer has a line of its own
            self._suspects = await engine.end_unknown_shims(self._state, self._suspects)
        gaps = self._rule_gaps()
        gaps += [IsolationGap(problem, "Builds run without that bound") for problem in self._limit_problems]
        if not engine.has_bounded_builds(self._state):
            pidfile = self._state.pidfile(engine.NAME)
            gaps.append(
                IsolationGap(
                    "builds have no bounds of memory, CPU and processes: the engine that runs was started without",
                    f"End it, it starts again at once and the apps run on: kill $(cut -d' ' -f1 {pidfile})",
                )
            )
        return gaps

    async def _check_shared(self) -> list[IsolationGap]:
        """On the machine's engine: the apps' network is ours, its default bridge, where builds run, is not."""
        private = 'Set [engine] private = "always" to have an engine that holds it; apps are deployed again then'
        gaps = [
            IsolationGap(
                "RUN steps of builds reach this machine's ports, private networks and 169.254.169.254, and have no "
                "bounds of memory, CPU, processes and disk: they run on the machine's Docker engine",
                private,
            )
        ]
        if os.geteuid() != 0:
            return [
                IsolationGap(
                    "apps may reach this machine's ports, private networks and 169.254.169.254: closing them needs "
                    "packet rules, and the supervisor does not run as root",
                    "Run it as root",
                ),
                *gaps,
            ]
        if missing := firewall.missing_programs():
            return [
                IsolationGap(
                    "apps may reach this machine's ports, private networks and 169.254.169.254: to close them "
                    f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing",
                    "Install the packages iptables and ebtables (Debian: apt-get install iptables ebtables)",
                ),
                *gaps,
            ]
        found = await self._networks()
        # By the device's name the rules can be there before krane has made the network.
        devices = {bridge_device(self._network): None} | {device_of(one): None for one in found}
        pools = tuple(pool for one in found for pool in subnets(one))
        await self._hold(Scope(scope_tag(self._state), tuple(devices), pools, routes=False))
        self._awaits_network = not found
        if absent := [device for one in found if not Path(f"/sys/class/net/{(device := device_of(one))}").exists()]:
            return [
                IsolationGap(
                    f"apps may reach what they should not: this machine has no device {absent[0]}, so the engine's "
                    f"network is elsewhere (a rootless engine, or one in a virtual machine)",
                    private,
                ),
                *gaps,
            ]
        return (self._rule_gaps() if found else []) + gaps

    async def _hold(self, scope: Scope) -> None:
        """Apply the rules unless they are as this process left them."""
        wanted = (scope, self.policy())
        if self._applied == wanted:
            if await firewall.lines(scope.tag) == self._stands.lines:
                return
            log.warning("another program changed the packet rules of %s; making them again", scope.tag)
        self._stands = firewall.apply(*wanted)
        self._applied = wanted

    def _rule_gaps(self) -> list[IsolationGap]:
        return [
            IsolationGap(problem, "This kernel lacks a part of its packet filter (bridge family)")
            for problem in self._stands.problems
        ]

    async def _networks(self) -> list[dict[str, Any]]:
        """Networks of this installation as the engine describes them, also those that an older version made."""
        if not self._installation:
            with contextlib.suppress(OSError, ApiRefusedError):  # it is not up yet; by name the rules are there already
                self._installation = str((await self._api.call("CtrlService/GetServerInfo"))["installationId"])
        if not self._installation:
            return []
        return await Engine(self._stack.engine_socket).networks(f"{LABEL_INSTALLATION}={self._installation}")

    def _mark_builds(self) -> None:
        hierarchy = cgroups.here() if self._private else None
        if self._private and hierarchy:
            build_limits.raise_oom_scores(hierarchy, engine.cgroup_parent(self._private))
            if self._build_cpu is None:
                self._build_cpu = BuildCpu(hierarchy, engine.cgroup_parent(self._private))
            self._build_cpu.look(time.monotonic())

    def _write(self, gaps: list[IsolationGap]) -> None:
        with contextlib.suppress(OSError):  # a full disk: `status` says since when nothing was written
            replace(_path(self._state), msgspec.json.encode(Report(time.time(), tuple(gaps))).decode())


def scope_tag(state: StateDir) -> str:
    """Of the rules for a network on the machine's engine."""
    return network_name(state)


def device_of(network: Mapping[str, Any]) -> str:
    """The bridge device of a network, as the engine describes it."""
    named = (network.get("Options") or {}).get("com.docker.network.bridge.name")
    return str(named or f"br-{network['Id'][:12]}")


def subnets(network: Mapping[str, Any]) -> tuple[IPv4Network, ...]:
    """The IPv4 ranges of a network, as the engine describes it."""
    configs = (network.get("IPAM") or {}).get("Config") or []
    found = [ipaddress.ip_network(one["Subnet"]) for one in configs if one.get("Subnet")]
    return tuple(one for one in found if isinstance(one, IPv4Network))


def _path(state: StateDir) -> Path:
    return state.run / "isolation.json"
