"""Addresses of servers: what is the same, what is local, and what is refused."""

import ipaddress
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.client.address import Address, AddressError

labels = st.text(string.ascii_letters + string.digits, min_size=1, max_size=12).filter(lambda t: t[0].isalpha())
names = st.lists(labels, min_size=1, max_size=4).map(".".join).filter(lambda n: n.rpartition(".")[2][0].isalpha())
ports = st.integers(1, 65_535)
schemes = st.sampled_from(["http", "https"])


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("HTTPS://Deploy.Example", "https://deploy.example"),
        ("https://deploy.example:443/", "https://deploy.example"),
        ("http://deploy.example:80", "http://deploy.example"),
        ("http://deploy.example:443", "http://deploy.example:443"),
        ("https://deploy.example.", "https://deploy.example"),
        ("https://deploy.example:", "https://deploy.example"),
        ("https://deploy.example:00443", "https://deploy.example"),
        ("\thttps://deploy.example \r\n", "https://deploy.example"),
        ("http://[::1]:7400", "http://[::1]:7400"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("https://[2001:DB8::A]", "https://[2001:db8::a]"),
        ("https://B\u00dcCHER.example", "https://xn--bcher-kva.example"),
        ("https://xn--BCHER-kva.example", "https://xn--bcher-kva.example"),
        ("http://my_host:1", "http://my_host:1"),
    ],
)
def test_what_is_the_same(text: str, canonical: str) -> None:
    """Promise: case, default port, trailing dot, surrounding blanks and IDNA don't change the server."""
    assert str(Address.parse(text)) == canonical
    assert Address.parse(text).is_tls == canonical.startswith("https")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("deploy.example:7400", "did you mean https://deploy.example:7400?"),
        ("localhost:7400", "did you mean http://localhost:7400?"),
        ("sealift.localhost:7443", "did you mean https://sealift.localhost:7443?"),
        ("127.0.0.1", "did you mean http://127.0.0.1?"),
        ("//x", "no scheme"),
        ("ftp://x", "neither http"),
        ("grpc://x", "neither http"),
        ("http:/x", "no scheme"),
        ("http://", "no host"),
        ("http://.", "no host"),
        ("http://:80", "no host"),
        ("http://x/path", "more than host and port: use http://x"),
        ("http://x?q=1", "more than host and port"),
        ("http://x/#f", "more than host and port"),
        ("http://u@x", "user or a password"),
        ("http://x\\@y", "backslash"),
        ("http://a b", "blank"),
        ("http://a\tb", "blank"),
        ("http://x:0", "port"),
        ("http://x:65536", "port"),
        ("http://x:99999999999999999999443", "port"),
        ("http://x:80a", "host or port"),
        ("http://x:\u0661", "host or port"),
        ("http://::1", "brackets"),
        ("http://[::1", "brackets"),
        ("http://[fe80::1%25eth0]", "zones"),
        ("http://[127.0.0.1]", "is not an IPv6"),
        ("http://127.1", "looks like an IPv4"),
        ("http://0x7f000001", "looks like an IPv4"),
        ("http://256.0.0.1", "looks like an IPv4"),
        ("http://a..b", "not a valid hostname"),
        ("http://-a", "not a valid hostname"),
        ("http://%6cocalhost", "not a valid hostname"),
        ("http://" + "a" * 64, "not a valid hostname"),
        ("http://stra\u00dfe.example", "xn--"),
        ("http://x\udcff", "another invalid character"),
        ("http://" + "x" * 3000, "2048"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    """Promise: invalid server URLs are refused with the reason."""
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("[::1]", True), ("[::ffff:127.0.0.1]", True), ("0.0.0.0", True),
        ("LOCALHOST", True), ("localhost.", True), ("api.sealift.LocalHost", True), ("localhost.example", False),
        ("notlocalhost", False), ("10.0.0.1", False), ("128.0.0.1", False), ("[fe80::1]", False),
    ],
)  # fmt: skip
def test_what_is_local(host: str, is_local: bool) -> None:
    """Promise: all forms of the local machine's address are recognized."""
    assert Address.parse(f"http://{host}:1").is_local is is_local


@given(schemes, names, ports)
def test_spelling_makes_no_difference(scheme: str, host: str, port: int) -> None:
    """Promise: any mix of case, a final dot and a slash mean the same server; parsing what is shown changes nothing."""
    plain = Address.parse(f"{scheme}://{host}:{port}")
    odd = Address.parse(f" {scheme.upper()}://{host.swapcase()}.:{port:06}/ ")
    assert plain == odd == Address.parse(str(plain))
    assert plain.is_tls == (scheme == "https")
    assert (plain.host, plain.port) == (host.lower(), port)


@given(st.ip_addresses(v=6), ports)
def test_ipv6(ip: ipaddress.IPv6Address, port: int) -> None:
    """Promise: every IPv6 address round-trips, in both spellings."""
    found = Address.parse(f"http://[{ip.exploded.upper()}]:{port}")
    assert found == Address.parse(str(found)) == Address.parse(f"http://[{ip}]:{port}")


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    """Promise: nothing but an address comes out, and nothing but AddressError is raised."""
    for whole in (text, f"https://{text}"):
        try:
            found = Address.parse(whole)
        except AddressError:
            continue
        assert found.host.isascii()
        assert found.host == found.host.lower()
        assert Address.parse(str(found)) == found
