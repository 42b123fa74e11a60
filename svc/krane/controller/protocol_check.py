"""Checks that the probed port speaks what the ingress will speak to the app: HTTP/1.1, or HTTP/2 where that is set.

A connection that is accepted proves no more than that something listens: what speaks only TLS or the other HTTP would
go live and answer every visitor with an error.
"""

import time

from pkg.desired.protocol import AppProtocol
from sealift import __version__
from svc.krane.controller import protocol_probe
from svc.krane.controller.port_choice import UNREACHABLE_S, PortProtocol, spoken_to
from svc.krane.controller.probes import USER_AGENT, ProbeResult, Target
from svc.krane.controller.topology import HealthRule

# For the first bytes of an answer, where a connection is enough to be healthy. TLS and HTTP/2 refuse a request at once;
# a page may take longer, and is not waited for.
QUICK_S = 1.0
SURE_S = 2.0  # for each question once there is doubt: a handshake on a busy machine
ASK_INTERVAL_S = 0.5
_FOREIGN = {
    AppProtocol.HTTP1: (PortProtocol.TLS, PortProtocol.HTTP2),
    AppProtocol.H2C: (PortProtocol.TLS, PortProtocol.HTTP),
}


class ProtocolCheck:
    """Checks one start of one instance, until it is healthy."""

    def __init__(self, rule: HealthRule) -> None:
        self._rule = rule
        self._last: ProbeResult | None = None  # while it speaks another protocol
        self._asked_at = float("-inf")
        self._since = 0.0
        self._is_plain = False  # it answered something else than TLS and HTTP/2

    async def checked(self, target: Target, result: ProbeResult) -> ProbeResult:
        """`result`, or why no request will ever be answered. Takes as long as a search of the port may."""
        if self._rule.protocol is AppProtocol.H2C:
            is_in_doubt = result.is_foreign  # the probe itself asked in HTTP/2
        else:
            is_in_doubt = result.is_ok if not target.path else not (result.is_ok or result.is_refused)
        if not is_in_doubt or self._is_plain:
            self._last = None if result.is_ok else self._last
            return result
        if time.monotonic() - self._asked_at >= ASK_INTERVAL_S:
            protocol = await self._protocol(target)
            if protocol in _FOREIGN[self._rule.protocol]:
                self._last = self._refusal(target.port, protocol)
            elif protocol is PortProtocol.HTTP:
                self._last = None  # silence proves nothing
            self._asked_at = time.monotonic()
        return self._last or result

    async def _protocol(self, target: Target) -> PortProtocol:
        address, port, host = target.address, target.port, target.hosts[0]
        agent = f"{USER_AGENT}/{__version__}"
        is_http1 = self._rule.protocol is AppProtocol.HTTP1
        if is_http1 and not target.path and await protocol_probe.may_be_http(address, port, host, agent, QUICK_S):
            return PortProtocol.HTTP
        timeout_s = max(SURE_S, target.timeout_s)
        answer = await protocol_probe.ask(
            address, port, host=host, path=target.path, user_agent=agent, timeout_s=timeout_s
        )
        self._is_plain = answer.is_plain
        return answer.protocol

    def _refusal(self, port: int, protocol: PortProtocol) -> ProbeResult:
        now = time.monotonic()
        if self._last is None:
            self._since = now
        text = f"port {port} speaks {protocol}, but {spoken_to(self._rule.protocol)}: let the app answer those"
        if protocol is PortProtocol.HTTP2:
            text += ', or set [run] protocol = "h2c"'
        elif protocol is PortProtocol.HTTP:
            text += ', or leave [run] protocol = "h2c" out'
        is_final = now - self._since >= min(UNREACHABLE_S, self._rule.start_timeout_s / 2)
        return ProbeResult(False, text, is_answered=True, is_foreign=True, is_final=is_final)
