"""Which port is made public when nobody set one."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc.krane.controller.port_choice import DEBUGGERS, Answer, PortProtocol, View, candidates, choose, explain

HTTP = Answer(PortProtocol.HTTP, is_healthy=True)
TLS, SILENT, OTHER = Answer(PortProtocol.TLS), Answer(PortProtocol.SILENT), Answer(PortProtocol.OTHER)
CLOSED, HTTP2 = Answer(PortProtocol.CLOSED), Answer(PortProtocol.HTTP2)
UNHEALTHY = Answer(PortProtocol.HTTP, text="GET /up answered 404")


def view(*open_ports: int | tuple[str, int], exposed: tuple[int, ...] = (), **answers: Answer) -> View:
    """After a minute; `p3000=TLS` says what a port answers, the others answer HTTP."""
    sockets = [one if isinstance(one, tuple) else ("0.0.0.0", one) for one in open_ports]
    said = {port: answers.get(f"p{port}", HTTP) for _, port in sockets}
    return View(8080, sockets, frozenset(exposed), answers=said, stable_s=60)


@pytest.mark.parametrize(
    ("seen", "port"),
    [
        (view(3000), 3000),  # Express, Rails
        (view(("::", 3000)), 3000),  # dual stack
        (view(5000), 5000),
        (view(80, exposed=(80,)), 80),  # nginx
        (view(3000, 9229), 3000),
        (view(8000, 9090, exposed=(8000,)), 8000),
        (view(80, 443, exposed=(80, 443), p443=TLS), 80),
        (view(3000, 5432, p5432=OTHER), 3000),
        (view(3000, ("127.0.0.1", 6379)), 3000),
        (view(3000, exposed=(80,)), 3000),  # the base image's EXPOSE
        (view(9090, exposed=(9090,)), 9090),  # Prometheus itself
        (view(3000, exposed=(9229,)), 3000),
    ],
)
def test_the_one_port_that_answers_is_adopted(seen: View, port: int) -> None:
    """Promise: an app with a fixed port goes live with nothing set; EXPOSE breaks ties."""
    assert choose(seen).port == port


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (view(8000, 9090), "ports 8000 and 9090, and nothing says which one is meant"),
        (view(3000, 4000, exposed=(3000, 4000)), "which the image EXPOSEs all"),
        (view(3000, 4000, p4000=SILENT), "ports 3000 and 4000"),  # what has not answered may yet
        (view(9229), "port 9229 (Node's inspector) only"),
        (view(9229, exposed=(9229,)), "not made public"),
        (view(5005, 5678), "ports 5005 (Java's debugger) and 5678 (Python's debugpy) only"),
        (view(9404), "port 9404 (metrics) only"),
        (view(8443, p8443=TLS), "port 8443 speaks TLS"),
        (view(*range(3000, 3009)), "on 9 ports (3000, "),
        (view(50051, p50051=HTTP2), "port 50051 speaks HTTP/2 only"),
        (view(5432, p5432=OTHER), "another protocol than HTTP"),
        (view(3000, p3000=UNHEALTHY), "port 3000, where GET /up answered 404"),
        (view(3000, p3000=SILENT), "port 3000, which takes connections but has answered no request yet"),
        (view(("::", 3000), p3000=CLOSED), "port 3000 is open for IPv6 only"),
        (view(("127.0.0.1", 5000)), "port 5000 of 127.0.0.1 only"),
    ],
)
def test_what_would_be_a_guess_is_told_instead(seen: View, words: str) -> None:
    """Promise: several ports, debuggers, other protocols are never made public; the user reads what is seen."""
    chosen = choose(seen)
    assert (chosen.port, chosen.failure) == (0, "")
    assert words in chosen.notice
    assert words in explain(replace(seen, stable_s=0))


@pytest.mark.parametrize("port", [3000, 9404, 8081])
def test_an_image_that_exposes_the_port_it_was_handed_is_waited_for(port: int) -> None:
    """Promise: what opens first (a metrics agent before a slow start) does not take the place of the app's own port."""
    assert choose(view(port, exposed=(8080,))).port == 0


def test_open_ports_have_to_be_stable() -> None:
    """Promise: slow starters open several ports one by one; an EXPOSEd port is taken at once."""
    assert choose(replace(view(3000), stable_s=2.9)).port == 0
    assert choose(replace(view(3000, exposed=(80,)), stable_s=29)).port == 0
    assert choose(replace(view(3000, exposed=(3000,)), stable_s=0)).port == 3000
    assert choose(replace(view(3000, 9000, exposed=(3000,)), stable_s=0)).port == 3000
    assert choose(replace(view(3000, exposed=(3000, 9229)), stable_s=0)).port == 3000
    assert choose(replace(view(4000, exposed=(3000, 4000)), stable_s=2.9)).port == 0  # the other one may be to come
    assert choose(replace(view(80, exposed=(80, 443)), stable_s=3)).port == 80


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (view(("127.0.0.1", 8080)), "listens on 127.0.0.1 only: let it listen on 0.0.0.0"),
        (view(("::1", 8080), ("127.0.0.1", 8080)), "listens on 127.0.0.1, ::1 only"),
        (view(("127.0.0.1", 5000), exposed=(5000,)), "(port 5000): let it listen on 0.0.0.0"),
        (replace(view(("127.0.0.1", 3000)), expected=3000, is_set=True), "listens on 127.0.0.1 only"),
        (view(("::", 8080), p8080=CLOSED), "open for IPv6 only"),
        (
            replace(view(4000), expected=3000, is_adopted=True),
            "on port 4000 here, but another instance was found on port 3000",
        ),
    ],
)
def test_what_can_never_answer_ends_early(seen: View, words: str) -> None:
    """Promise: about five seconds instead of the whole start timeout, with the reason."""
    assert words in choose(seen).failure
    assert choose(replace(seen, stable_s=1)).failure == "" or seen.is_adopted


@pytest.mark.parametrize(
    "seen",
    [view(("127.0.0.1", 5000)), view(("127.0.0.1", 8080), 3000), view(), view(8080), view(8080, 3000)],
)
def test_what_may_still_answer_goes_on(seen: View) -> None:
    """Promise: a helper on loopback, no port yet, or the right port: no early end."""
    assert choose(seen).failure == ""


def test_a_set_port_is_never_overruled() -> None:
    """Promise: nothing is guessed when the port is set; the reason still names what listens."""
    seen = replace(view(4000, exposed=(4000,)), expected=3000, is_set=True)
    assert candidates(seen) == []
    assert choose(seen).port == 0
    assert "listens on port 4000 instead" in explain(seen)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (view(), "listens on no port"),
        (view(("127.0.0.1", 8080)), "127.0.0.1 only"),
        (replace(view(), udp=[53]), "listens on UDP port 53 only: let it listen on $PORT (8080), by TCP"),
        (replace(view(), expected=3000, is_set=True), "listens on no port: let it listen on port 3000"),
        (replace(view(), is_whole=False), "can't be seen on this engine, and none is EXPOSEd"),
        (replace(view(exposed=(80, 443)), is_whole=False), "of the EXPOSEd ports 80 and 443 none is open"),
    ],
)
def test_the_reason_of_a_start_timeout_names_the_ports(seen: View, words: str) -> None:
    """Promise: who reads it knows what to change."""
    assert words in explain(seen)


def test_an_app_without_a_port_is_told_while_it_is_waited_for() -> None:
    """Promise: a worker's owner reads after ten seconds what is missing, not after the start timeout; no early end."""
    assert choose(replace(view(), stable_s=9)).notice == ""
    told = choose(replace(view(), stable_s=10))
    assert (told.failure, told.notice.partition(":")[0]) == ("", "the app listens on no port")


ADDRESSES = st.sampled_from(["0.0.0.0", "::", "127.0.0.1", "::1", "127.0.0.11", "172.17.0.2"])
PORTS = st.sampled_from([80, 443, 3000, 5005, 8000, 8080, 8443, 9090, 9229, 9404, 50051])
ANSWERS = st.sampled_from([HTTP, UNHEALTHY, TLS, SILENT, OTHER, CLOSED, HTTP2])


@given(
    st.lists(st.tuples(ADDRESSES, PORTS), max_size=6),
    st.frozensets(PORTS, max_size=3),
    st.dictionaries(PORTS, ANSWERS),
    st.booleans(),
    st.floats(0, 200),
)
def test_no_port_is_ever_adopted_by_a_guess(
    listening: list[tuple[str, int]], exposed: frozenset[int], answers: dict[int, Answer], is_set: bool, stable_s: float
) -> None:
    """Promise: reachable, healthy HTTP, no debugger, not set, and no other EXPOSEd or unexposed rival of its kind."""
    seen = View(8080, listening, exposed, is_set, answers=answers, stable_s=stable_s)
    chosen = choose(seen)
    explain(seen)
    assert not (chosen.port and chosen.failure)
    if not chosen.port:
        return
    reachable = {port for address, port in listening if address in ("0.0.0.0", "::", "172.17.0.2")}
    assert not is_set
    assert chosen.port in reachable - DEBUGGERS.keys()
    assert 8080 not in reachable
    assert answers[chosen.port] == HTTP
    rivals = {
        port
        for port in reachable - DEBUGGERS.keys() - {chosen.port}
        if answers.get(port, SILENT).protocol in (PortProtocol.HTTP, PortProtocol.SILENT)
    }
    assert not (rivals & exposed)
    assert not rivals or chosen.port in exposed


@given(st.lists(st.tuples(ADDRESSES, PORTS), max_size=6), st.frozensets(PORTS, max_size=3), st.randoms())
def test_the_order_of_what_is_seen_does_not_matter(
    listening: list[tuple[str, int]], exposed: frozenset[int], random: object
) -> None:
    """Promise: the same app gets the same port each time."""
    answers = dict.fromkeys([port for _, port in listening], HTTP)
    seen = View(8080, listening, exposed, answers=answers, stable_s=60)
    assert choose(seen) == choose(replace(seen, listening=listening[::-1]))
