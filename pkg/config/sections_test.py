import inspect

import pytest

from pkg.config import Strict, describe, sections
from pkg.config.sections import Ingress, Metrics, Restate, is_loopback, split_address, stays_here_problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:7400", ("127.0.0.1", 7400)), ("[::1]:0", ("::1", 0)), ("localhost:80", ("localhost", 80))],
)
def test_address(text: str, expected: tuple[str, int]) -> None:
    """Promise: host:port, also with IPv6 in brackets."""
    assert split_address(text) == expected
    assert is_loopback(text)


@pytest.mark.parametrize("text", ["", "7400", ":7400", "host", "host:", "host:x", "host:65536", "::1:80", "host:-1"])
def test_no_address(text: str) -> None:
    """Promise: anything else is refused with the key and the value."""
    with pytest.raises(ValueError, match="expected host:port"):
        split_address(text)
    assert Metrics(listen=text).problems() == [f"listen: expected host:port, got {text!r}"]


def test_loopback() -> None:
    """Promise: only addresses of this machine count as loopback."""
    assert not is_loopback("0.0.0.0:80")
    assert not is_loopback("example.com:80")


@pytest.mark.parametrize(
    ("url", "stays"),
    [
        ("http://127.0.0.1:7401", True), ("http://127.8.8.8", True), ("http://[::1]:80/x", True),
        ("http://localhost:7401", True), ("http://api.localhost", True), ("http://0.0.0.0:7401", True),
        ("http://10.0.0.5:7401", False), ("https://objects.example.com", False),
        ("http://localhost.example.com", False),
    ],
)  # fmt: skip
def test_urls_that_stay_on_the_machine(url: str, stays: bool) -> None:
    """Promise: a URL for other machines is refused by its key if each of them would ask itself."""
    assert [problem.partition(":")[0] for problem in stays_here_problems("external_url", url, "others use it")] == [
        "external_url"
    ] * stays


def test_urls_shown_to_users() -> None:
    """Promise: the scheme's own port is left out of URLs."""
    assert Ingress().url("a.sealift.localhost") == "http://a.sealift.localhost:7480"
    assert Ingress(port=80).url("a.b") == "http://a.b"
    assert Ingress(port=443, scheme="https").url("a.b") == "https://a.b"
    assert Ingress(port=70000).problems()


def test_restate_addresses() -> None:
    """Promise: unix sockets and http(s) are the ways to the workflow engine."""
    assert Restate(ingress="unix:///run/i.sock", admin="http://127.0.0.1:9070").problems() == []
    assert len(Restate(ingress="unix:", admin="/run/a.sock").problems()) == 2


def test_every_shared_key_is_documented() -> None:
    """Promise: the generated reference has a text for every key."""
    for _, section in inspect.getmembers(sections, inspect.isclass):
        if issubclass(section, Strict) and section is not Strict:
            assert all(key.doc for key in describe(section)), section
