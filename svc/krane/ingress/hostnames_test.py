import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc.krane.ingress.hostnames import (
    address_problem,
    deployment_problem,
    hostname_problem,
    routed_hostname_problem,
    spellings,
)


@pytest.mark.parametrize(
    "hostname", ["app.sealift.localhost", "a", "a-1.x", "1.2.3.4", "a" * 63 + ".x", ".".join(["a" * 49] * 5) + ".abc"]
)
def test_dns_names_are_served(hostname: str) -> None:
    """Every lower-case DNS name can be a route."""
    assert hostname_problem(hostname) == ""


@pytest.mark.parametrize(
    "hostname",
    [
        "",
        "A.x",
        "a..x",
        ".x",
        "x.",
        "-a.x",
        "a-.x",
        "*",
        "*.x",
        "a_b.x",
        "a b",
        "a\n",
        "a:80",
        "ä.x",
        "a" * 64,
        "a." * 127,
    ],
)
def test_other_names_never_reach_envoy(hostname: str) -> None:
    """Envoy refuses the whole table for one bad name."""
    assert hostname_problem(hostname)


@given(st.text())
def test_the_reason_is_printable(hostname: str) -> None:
    """What was typed is shown to people without control characters."""
    assert hostname_problem(hostname).isprintable()
    assert deployment_problem(hostname).isprintable()


def test_endpoints_are_addresses() -> None:
    """Envoy would resolve names itself; krane's word is an address."""
    assert address_problem("127.0.0.1", 1) == address_problem("::1", 65535) == ""
    assert "localhost" in address_problem("localhost", 80)
    assert "70000" in address_problem("10.0.0.1", 70000)


def test_every_spelling_of_a_host_is_listed() -> None:
    """The dot of the root and an empty port name the same host (RFC 3986, 3.2)."""
    assert spellings("a.b") == ["a.b", "a.b.", "a.b:", "a.b.:"]


def test_a_wildcard_is_routed_but_is_no_hostname() -> None:
    """Promise: it stands before a name of two labels or more, so that no whole top-level domain can be taken."""
    assert routed_hostname_problem("*.a.x") == routed_hostname_problem("a.x") == ""
    assert hostname_problem("*.a.x")
    for hostname in ("*", "*.", "*.x", "*.*.x", "a.*.x", "*a.b.x", "*.A.x", "*." + ".".join(["a" * 63] * 4)[:252]):
        assert routed_hostname_problem(hostname), hostname
