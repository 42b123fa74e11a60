"""Looks where an app listens while it does not answer where it is expected; what follows is `port_choice`'s."""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from pkg.desired.protocol import AppProtocol
from sealift import __version__
from svc.krane.controller import protocol_probe
from svc.krane.controller.instance import Instance
from svc.krane.controller.port_choice import (
    MAX_PORTS,
    Answer,
    Choice,
    PortProtocol,
    View,
    candidates,
    choose,
    explain,
    other_than_adopted,
)
from svc.krane.controller.probes import USER_AGENT
from svc.krane.controller.topology import HealthRule
from svc.krane.runtime.port import CandidatePorts, Observation, Runtime

LOOK_INTERVAL_S = 0.1
ASK_INTERVAL_S = 0.5
ASK_TIMEOUT_S = 2.0
PATIENT_TIMEOUT_S = 10.0  # a first page may be compiled on request, or wait for something that is not there
UNKNOWN_HOSTS = ("localhost",)
ANY = "0.0.0.0"  # noqa: S104 - not bound, but read


class PortSource(Protocol):
    """What of a runtime a search needs."""

    async def candidate_ports(self, seen: Observation) -> CandidatePorts:
        """See `Runtime.candidate_ports`."""
        ...


class PortSearch:
    """One start of one instance. `look` after each probe that was refused.

    Where the app's sockets can't be seen, the ports that the image EXPOSEs are probed instead: a connection shows, too.
    """

    def __init__(self, seen: Observation, rule: HealthRule, source: PortSource) -> None:
        self._seen = seen
        self._rule = rule
        self._source = source
        self._looked_at = float("-inf")
        self._sockets: frozenset[tuple[str, int]] | None = None
        self._since = 0.0
        self._answers: dict[int, tuple[float, Answer]] = {}
        self._plain: set[int] = set()
        self._choice = Choice()

    async def look(self, hosts: tuple[str, ...]) -> Choice:
        """What is so now, at most every `LOOK_INTERVAL_S`; between looks the choice of the last one."""
        if time.monotonic() - self._looked_at < LOOK_INTERVAL_S:
            return self._choice
        view = await self._view(hosts)
        self._choice = choose(view) if view is not None else Choice()
        self._looked_at = time.monotonic()
        return self._choice

    async def last_view(self, hosts: tuple[str, ...]) -> View | None:
        """All that can be seen now, for the reason of a failure; None when nothing can."""
        return await self._view(hosts)

    async def _view(self, hosts: tuple[str, ...]) -> View | None:
        rule = self._rule
        ports = await self._source.candidate_ports(self._seen)
        exposed = frozenset(ports.exposed)
        if ports.listening is not None:
            sockets = frozenset(ports.listening)
        elif rule.is_port_set:
            return None
        else:
            sockets = frozenset(await self._connecting(sorted(exposed - {rule.port})[:MAX_PORTS], hosts))
        if sockets != self._sockets:
            self._sockets, self._since = sockets, time.monotonic()
            self._answers.clear()
            self._plain.clear()
        view = View(
            expected=rule.port,
            listening=sockets,
            exposed=exposed,
            is_whole=ports.listening is not None,
            udp=() if sockets else ports.udp,
            is_set=rule.is_port_set,
            is_adopted=rule.is_port_adopted,
            start_timeout_s=rule.start_timeout_s,
            protocol=rule.protocol,
        )
        asked = candidates(view)
        answers = dict(zip(asked, await asyncio.gather(*(self._ask(port, hosts) for port in asked)), strict=True))
        if any(port == rule.port for _, port in sockets):
            answers[rule.port] = Answer(PortProtocol.CLOSED)  # the probe before this look was refused
        return View(**{**vars(view), "answers": answers, "stable_s": time.monotonic() - self._since})

    async def _connecting(self, ports: Sequence[int], hosts: tuple[str, ...]) -> list[tuple[str, int]]:
        """Which of the ports take a connection."""
        answers = await asyncio.gather(*(self._ask(port, hosts) for port in ports))
        return [
            (ANY, port)
            for port, answer in zip(ports, answers, strict=True)
            if answer.protocol is not PortProtocol.CLOSED
        ]

    async def _ask(self, port: int, hosts: tuple[str, ...]) -> Answer:
        """What the port answers; an answer that will not change while the same ports are open is kept."""
        known = self._answers.get(port)
        if known is not None and (self._is_final(known[1]) or time.monotonic() - known[0] < ASK_INTERVAL_S):
            return known[1]
        answer = await self._asked(port, hosts)
        self._answers[port] = (time.monotonic(), answer)
        return answer

    async def _asked(self, port: int, hosts: tuple[str, ...]) -> Answer:
        """The answer to the first of the hosts that it serves, else to the last."""
        answer = Answer(PortProtocol.SILENT)
        if self._rule.protocol is AppProtocol.H2C:
            return await protocol_probe.ask_http2(
                self._seen.address, port, hosts=hosts, path=self._rule.path, timeout_s=self._patience_s(port)
            )
        for host in hosts:
            answer = await protocol_probe.ask(
                self._seen.address,
                port,
                host=host,
                path=self._rule.path,
                user_agent=f"{USER_AGENT}/{__version__}",
                timeout_s=self._patience_s(port),
                is_plain=port in self._plain,
            )
            if answer.is_plain:
                self._plain.add(port)
            if answer.is_healthy or answer.protocol is not PortProtocol.HTTP:
                return answer
        return answer

    def _is_final(self, answer: Answer) -> bool:
        """Whether the port will not answer otherwise while the same ones are open."""
        changes = (PortProtocol.SILENT, PortProtocol.CLOSED, self._wanted)
        return answer.is_healthy or answer.protocol not in changes

    @property
    def _wanted(self) -> PortProtocol:
        return PortProtocol.HTTP2 if self._rule.protocol is AppProtocol.H2C else PortProtocol.HTTP

    def _patience_s(self, port: int) -> float:
        """How long an answer is waited for. A health check says so itself."""
        if port in self._plain and not self._rule.path:
            return max(ASK_TIMEOUT_S, min(PATIENT_TIMEOUT_S, self._rule.start_timeout_s / 4))
        return min(ASK_TIMEOUT_S, self._rule.timeout_s)


class PortSearches:
    """The searches of one deployment's instances: one for each start of an instance under one rule."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._of: dict[int, tuple[object, PortSearch]] = {}

    async def refused(self, instance: Instance, rule: HealthRule, hosts: tuple[str, ...]) -> bool:
        """Looks for the port of an instance whose probe was refused, and notes it. True: it knows more than before."""
        search = self._search(instance, rule)
        if search is None:
            return False
        choice = await search.look(hosts)
        before = (instance.port_found, instance.port_notice, instance.is_unreachable)
        instance.port_found = instance.port_found or choice.port
        instance.port_notice = choice.failure or choice.notice
        instance.is_unreachable = bool(choice.failure)
        return before != (instance.port_found, instance.port_notice, instance.is_unreachable)

    def answered(self, instance: Instance, rule: HealthRule) -> None:
        """A probe succeeded: where no port is set, that is the port."""
        instance.port_notice, instance.is_unreachable = "", False
        if not rule.is_port_set and instance.port_found == 0:
            instance.port_found = rule.port

    async def explain(self, instance: Instance, rule: HealthRule) -> str:
        """What the ports show about an instance that was not healthy in time; "" when nothing."""
        if instance.port_found:
            return f"port {instance.port_found} was found, and the control plane has not recorded it yet"
        search = self._search(instance, rule)
        view = None if search is None else await search.last_view(UNKNOWN_HOSTS)
        return "" if view is None else explain(view)

    def _search(self, instance: Instance, rule: HealthRule) -> PortSearch | None:
        seen = instance.seen
        if seen is None or not seen.address:
            return None
        subject = (instance.incarnation, rule)
        known = self._of.get(instance.replica)
        if known is None or known[0] != subject:
            known = (subject, PortSearch(seen, rule, self._runtime))
            self._of[instance.replica] = known
        return known[1]


def never_reached(instance: Instance, rule: HealthRule) -> str:
    """Why an instance that runs will not be reached, however long it takes; "" while it may."""
    if rule.is_port_adopted and instance.port_found not in (0, rule.port):
        return other_than_adopted(rule.port, instance.port_found)
    if instance.is_unreachable and instance.last_probe is not None:
        return f"{instance.last_probe.text}; {instance.port_notice}"
    if instance.last_probe is not None and instance.last_probe.is_final:
        return instance.last_probe.text
    return ""


def asked_path(rule: HealthRule) -> str:
    """The path that is requested until an instance is healthy."""
    return rule.path or "/"
