"""Chooses the public port of an app when none is set, and explains to the user while none is chosen. Pure.

A port is adopted only when nothing has to be guessed: it is the only one that answers HTTP, or the only such one that
the image EXPOSEs. A port that a debugger or a metrics exporter is known for is not made public by being alone: apps
open those first, some of them long before their own.
"""

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pkg.desired.protocol import AppProtocol

# Seconds for which the open ports have to stay the same. Longer while the image EXPOSEs a port that is not open: that
# one is probably meant, unless only the base image means it.
STABLE_S = 3.0
UNEXPOSED_STABLE_S = 30.0
UNREACHABLE_S = 5.0  # who listened for so long where nobody reaches it means to
NOTICE_S = 2.0
NOWHERE_S = 10.0  # an ordinary start is over by then
MAX_PORTS = 8  # that are probed or named

# Never adopted, EXPOSEd or not: who reaches one of these runs code in the app or reads its memory.
DEBUGGERS = {
    2345: "Go's Delve", 5005: "Java's debugger", 5678: "Python's debugpy", 5858: "Node's debugger",
    6060: "Go's pprof", 8787: "Java's debugger", 9222: "Chrome's DevTools", 9229: "Node's inspector",
    9230: "Node's inspector", 24678: "Vite's hot reload", 35729: "LiveReload",
}  # fmt: skip
# Adopted only when EXPOSEd: the customary ports of metrics and administration.
SIDE_PORTS = {
    2112: "metrics", 8778: "Jolokia", 9090: "metrics", 9091: "metrics", 9100: "metrics", 9102: "metrics",
    9113: "metrics", 9404: "metrics", 9464: "metrics", 9990: "administration", 15020: "metrics", 15090: "metrics",
}  # fmt: skip


class PortProtocol(StrEnum):
    """What a port answers to a request."""

    HTTP = "HTTP"  # HTTP/1
    HTTP2 = "HTTP/2 only"
    TLS = "TLS"
    OTHER = "another protocol than HTTP"
    SILENT = "nothing"  # no answer in time
    CLOSED = "closed"  # no connection


@dataclass(frozen=True)
class Answer:
    """What a port answered.

    Attributes:
        protocol: the protocol.
        is_healthy: it is the protocol that is wanted and, where the deployment has a health check, passes that.
        text: for people, e.g. "GET /up answered 404".
        is_plain: questions in TLS and HTTP/2 were answered in something else; to ask again would only fill its log.
    """

    protocol: PortProtocol
    is_healthy: bool = False
    text: str = ""
    is_plain: bool = False


@dataclass(frozen=True)
class View:
    """What is known of an app that does not answer where it is expected.

    Attributes:
        expected: the port that is probed: the set or adopted one, else the $PORT that the app was handed.
        is_set: somebody wrote it down; nothing is chosen then.
        is_adopted: it was recorded from another instance.
        listening: (address, port) of every listening TCP socket.
        exposed: TCP ports that the image EXPOSEs.
        answers: what the ports of `candidates` answered.
        stable_s: seconds for which `listening` has been the same.
        start_timeout_s: of the deployment.
        udp: UDP ports of the app, looked at where it listens on no other.
        is_whole: `listening` is all there is; else only what the image EXPOSEs could be tried.
        protocol: what the app is said to speak.
    """

    expected: int
    listening: Collection[tuple[str, int]]
    exposed: frozenset[int] = frozenset()
    is_set: bool = False
    is_adopted: bool = False
    answers: Mapping[int, Answer] = field(default_factory=dict)
    stable_s: float = 0.0
    start_timeout_s: float = 120.0
    udp: Collection[int] = ()
    is_whole: bool = True
    protocol: AppProtocol = AppProtocol.HTTP1

    @property
    def wanted(self) -> PortProtocol:
        """What the app's port has to answer."""
        return PortProtocol.HTTP2 if self.protocol is AppProtocol.H2C else PortProtocol.HTTP


@dataclass(frozen=True)
class Choice:
    """What follows.

    Attributes:
        port: to adopt; 0: none (yet).
        notice: what the user should know meanwhile; "" when there is nothing to say.
        failure: why the app will never answer; "" while it may.
    """

    port: int = 0
    notice: str = ""
    failure: str = ""


def candidates(view: View) -> list[int]:
    """The ports whose protocol should be probed, lowest first; none when they are over `MAX_PORTS`."""
    rivals = _rivals(view)
    return sorted(rivals) if len(rivals) <= MAX_PORTS and not view.is_set else []


def choose(view: View) -> Choice:
    """The choice. Never a port that nobody can reach, of a debugger, or that was not healthy when probed."""
    reachable = _reachable(view)
    if view.expected in reachable:
        return _listens_where_expected(view)
    if view.is_set or not reachable:
        return _unreachable(view)
    chosen = _chosen(view, candidates(view))
    if chosen.port and view.is_adopted:
        return Choice(failure=other_than_adopted(view.expected, chosen.port))
    return chosen if chosen.port or view.stable_s >= _notice_s(view) else Choice()


def explain(view: View) -> str:
    """Why the app was not reached, at the end of its start timeout; "" when its ports show nothing."""
    said = choose(View(**{**vars(view), "stable_s": max(view.stable_s, view.start_timeout_s)}))
    if said.failure or said.notice:
        return said.failure or said.notice
    if view.expected in _reachable(view):
        return ""
    others = sorted({port for _, port in view.listening})
    if not others:
        return _listens_nowhere(view)
    return (
        f"the app listens on {_ports(others)} instead: let it listen on $PORT ({view.expected}), or set the port: "
        f"[run] port = {others[0]}"
    )


def _chosen(view: View, asked: list[int]) -> Choice:
    """The one port that answers HTTP, once the open ports are stable; else why there is none."""
    exposed = [port for port in asked if port in view.exposed]
    speaking = [port for port in asked if _may_be_http(view, port)]
    if rivals := _rivals(view) if not asked else set():
        return Choice(notice=f"the app listens on {_ports(sorted(rivals))}. {_how(*sorted(rivals))}")
    if not asked:
        debuggers = sorted(_reachable(view) & DEBUGGERS.keys())
        return Choice(
            notice=f"the app listens on {_ports(debuggers, DEBUGGERS)} only, which is not made public: "
            f"let it listen on $PORT ({view.expected})"
        )
    if not speaking:
        return Choice(notice=_no_http(view, asked))
    if len(speaking) > 1:
        which = "which the image EXPOSEs all" if exposed else "and nothing says which one is meant"
        return Choice(notice=f"the app listens on {_ports(speaking)}, {which}. {_how(*speaking)}")
    port = speaking[0]
    if not exposed and port in SIDE_PORTS:
        return Choice(
            notice=f"the app listens on {_ports([port], SIDE_PORTS)} only, which is public only if EXPOSEd. "
            f"{_how(port)}"
        )
    answer = view.answers.get(port)
    if answer is None or answer.protocol is not view.wanted:
        return Choice(notice=f"the app listens on port {port}, which takes connections but has answered no request yet")
    if not answer.is_healthy:
        return Choice(notice=f"the app listens on port {port}, where {answer.text}")
    if view.stable_s < _stable_for_s(view, asked, exposed):
        return Choice()
    return Choice(port=port)


def _rivals(view: View) -> set[int]:
    """The ports of which one may be the app's: the EXPOSEd ones among those that can be reached, else all of those."""
    found = _reachable(view) - {view.expected} - DEBUGGERS.keys()
    return found & view.exposed or found


def _stable_for_s(view: View, asked: list[int], exposed: list[int]) -> float:
    if len(asked) == 1 and exposed and not view.exposed - DEBUGGERS.keys() - set(exposed):
        return 0.0
    if view.exposed - DEBUGGERS.keys() and not exposed:
        if view.expected in view.exposed:
            return float("inf")  # the image itself says that the app will listen on the port it was given
        return min(UNEXPOSED_STABLE_S, view.start_timeout_s / 2)
    return min(STABLE_S, view.start_timeout_s / 4)


def _may_be_http(view: View, port: int) -> bool:
    """Also one that has not answered yet: until it has, it is not known to be no rival."""
    answer = view.answers.get(port)
    return answer is None or answer.protocol in (view.wanted, PortProtocol.SILENT)


def _no_http(view: View, asked: list[int]) -> str:
    said = []
    for port in asked:
        protocol = view.answers[port].protocol
        said.append(f"port {port} speaks {protocol}" if protocol is not PortProtocol.CLOSED else _ipv6_only(port))
    sent = spoken_to(view.protocol)
    advice = f"{sent[0].upper()}{sent[1:]}: let the app answer those on $PORT ({view.expected})"
    if view.protocol is AppProtocol.HTTP1 and any(view.answers[p].protocol is PortProtocol.HTTP2 for p in asked):
        advice += ', or set [run] protocol = "h2c"'
    name = "HTTP" if view.protocol is AppProtocol.HTTP1 else "HTTP/2"
    return f"no port of the app answers {name}: {', '.join(said)}. {advice}"


def spoken_to(protocol: AppProtocol) -> str:
    """What requests to such an app are, for people."""
    if protocol is AppProtocol.HTTP1:
        return "requests to apps are HTTP/1.1 without TLS"
    return "[run] protocol is h2c, so requests to the app are HTTP/2 without TLS"


def _listens_where_expected(view: View) -> Choice:
    """It is probed there. Only what listens for IPv6 alone refuses IPv4."""
    addresses = {address for address, port in view.listening if port == view.expected}
    is_six_only = all(":" in address for address in addresses)
    answer = view.answers.get(view.expected)
    if (
        is_six_only
        and answer is not None
        and answer.protocol is PortProtocol.CLOSED
        and view.stable_s >= _unreachable_s(view)
    ):
        return Choice(failure=f"{_ipv6_only(view.expected)}: let it listen on 0.0.0.0")
    return Choice()


def _unreachable(view: View) -> Choice:
    """Nothing (that counts) can be reached: what listens does so on loopback."""
    own = view.listening
    local = {port for address, port in own if _is_loopback(address)} - _reachable(view)
    named = sorted(local & ({view.expected} if view.is_set else {view.expected, *view.exposed}))
    if named:
        addresses = ", ".join(sorted({address for address, port in own if port == named[0]}))
        where = "" if named[0] == view.expected else f" (port {named[0]})"
        text = f"the app listens on {addresses} only{where}: let it listen on 0.0.0.0"
        if view.stable_s >= _unreachable_s(view):
            return Choice(notice=text, failure=text)
        return Choice(notice=text if view.stable_s >= _notice_s(view) else "")
    if local and not view.is_set and view.stable_s >= _notice_s(view):
        text = f"the app listens on {_ports(sorted(local))} of 127.0.0.1 only: let it listen on 0.0.0.0"
        return Choice(notice=f"{text}, port $PORT ({view.expected})")
    if not own and view.stable_s >= _nowhere_s(view):
        return Choice(notice=_listens_nowhere(view))
    return Choice()


def _listens_nowhere(view: View) -> str:
    if not view.is_whole:
        tried = f"of the EXPOSEd {_ports(sorted(view.exposed))} none is open" if view.exposed else "none is EXPOSEd"
        return (
            f"the app's ports can't be seen on this engine, and {tried}: let it listen on {_expected(view)}. {_how()}"
        )
    only = f"UDP {_ports(view.udp)} only" if view.udp else "no port"
    return f"the app listens on {only}: let it listen on {_expected(view)}, by TCP and HTTP"


def _expected(view: View) -> str:
    return f"port {view.expected}" if view.is_set else f"$PORT ({view.expected})"


def other_than_adopted(adopted: int, found: int) -> str:
    """Why an app fails that listens elsewhere than the instance that was found first."""
    return (
        f"the app listens on port {found} here, but another instance was found on port {adopted} before, and one port "
        f"serves all: let it listen on the same port everywhere, or set [run] port"
    )


def _ipv6_only(port: int) -> str:
    return f"port {port} is open for IPv6 only"


def _reachable(view: View) -> set[int]:
    return {port for address, port in view.listening if not _is_loopback(address)}


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _unreachable_s(view: View) -> float:
    return min(UNREACHABLE_S, view.start_timeout_s / 2)


def _nowhere_s(view: View) -> float:
    return min(NOWHERE_S, view.start_timeout_s / 2)


def _notice_s(view: View) -> float:
    return min(NOTICE_S, view.start_timeout_s / 4)


def _how(*ports: int) -> str:
    """What makes one public."""
    example = str(ports[0]) if ports else "..."
    return f"Say which port is the app's: [run] port = {example} in sealift.toml, or sealift deploy --port {example}"


def _ports(ports: Collection[int], known_for: Mapping[int, str] | None = None) -> str:
    named = [f"{port} ({known_for[port]})" if known_for else str(port) for port in list(ports)[:MAX_PORTS]]
    if len(ports) > MAX_PORTS:
        return f"{len(ports)} ports ({', '.join(named)}, ...)"
    if len(named) == 1:
        return f"port {named[0]}"
    return f"ports {', '.join(named[:-1])} and {named[-1]}"
