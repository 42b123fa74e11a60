"""Who the client is and how it came: said by us to everybody's app, and by trusted proxies."""

import pytest

from svc.krane.ingress.testing import TRUSTED
from svc.krane.ingress.testing_raw import Message, Raw

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROXY = TRUSTED[0].partition("/")[0]
HOST = Raw.HOST
CLAIMS = {
    "X-Forwarded-For": b"203.0.113.7",
    "X-Forwarded-Proto": b"https",
    "X-Forwarded-Host": b"shop.example:8443",
    "X-Forwarded-Port": b"9443",
    "X-Forwarded-Prefix": b"/shop",
    "X-Forwarded-Client-Cert": b"Hash=00",
    "Forwarded": b"for=203.0.113.7;proto=https",
    "X-Real-IP": b"203.0.113.7",
}


def lines(claims: dict[str, bytes]) -> list[bytes]:
    """Header lines."""
    return [name.encode() + b": " + value for name, value in claims.items()]


def forwarded(request: Message) -> dict[str, bytes]:
    """What a request says of its client, by lower-case names."""
    names = ("x-forwarded", "forwarded", "x-real", "x-envoy", "x_")
    return {n.lower().decode(): v for n, v in request.headers if n.lower().decode().startswith(names)}


@pytest.mark.parametrize(
    ("host", "port"), [(f"{HOST}:7480", b"7480"), (HOST, b"80"), (f"{HOST}:", b"80"), (f"{HOST}.:81", b"81")]
)
async def test_an_app_is_told_how_it_was_reached(raw: Raw, host: str, port: bytes) -> None:
    """By address, scheme, host and port of the client's own view; a client on loopback is one on loopback."""
    await raw.ask(host=host, source="127.0.0.3")
    assert forwarded(raw.app.last) == {
        "x-forwarded-for": b"127.0.0.3",
        "x-forwarded-proto": b"http",
        "x-forwarded-host": host.encode(),
        "x-forwarded-port": port,
    }


async def test_claims_of_others_are_replaced(raw: Raw) -> None:
    """Nobody poses as another client, as HTTPS or as another host, nor commands Envoy."""
    commands = [b"X-Envoy-Retry-On: 5xx", b"X-Envoy-Upstream-Rq-Timeout-Ms: 1", b"X-Envoy-Whatever: 1"]
    await raw.ask("/", *lines(CLAIMS), *commands, source="127.0.0.3")
    assert forwarded(raw.app.last) == {
        "x-forwarded-for": b"127.0.0.3",
        "x-forwarded-proto": b"http",
        "x-forwarded-host": HOST.encode(),
        "x-forwarded-port": b"80",
    }


async def test_claims_of_trusted_proxies_are_kept(raw: Raw) -> None:
    """The TLS proxy in front says https, and whom it speaks for; it is the last in the chain itself."""
    await raw.ask("/", *lines(CLAIMS), b"X-Envoy-Retry-On: 5xx", source=PROXY)
    chain = CLAIMS["X-Forwarded-For"] + b"," + PROXY.encode()
    kept = {name.lower(): value for name, value in CLAIMS.items()}
    seen = forwarded(raw.app.last)
    assert seen.pop("x-forwarded-for") == chain
    assert seen == {name: value for name, value in kept.items() if name != "x-forwarded-for"}


@pytest.mark.parametrize(
    ("claims", "host", "proto", "port"),
    [
        ({}, HOST, b"http", b"80"),
        ({"X-Forwarded-Proto": b""}, HOST, b"http", b"80"),
        ({"X-Forwarded-Proto": b"https"}, HOST, b"https", b"443"),
        ({"X-Forwarded-Proto": b"HTTPS, http"}, HOST, b"HTTPS, http", b"443"),
        ({"X-Forwarded-Proto": b"https"}, f"{HOST}:8443", b"https", b"8443"),
        ({"X-Forwarded-Proto": b"https", "X-Forwarded-Host": b"a.b:9, c"}, HOST, b"https", b"9"),
    ],
)
async def test_what_a_proxy_leaves_out_is_filled_in(
    raw: Raw, claims: dict[str, bytes], host: str, proto: bytes, port: bytes
) -> None:
    """nginx's usual four lines name no port: it is that of the host or the scheme, never that of our listener."""
    await raw.ask("/", *lines(claims), host=host, source=PROXY)
    seen = forwarded(raw.app.last)
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == (PROXY.encode(), proto)
    assert seen["x-forwarded-host"] == claims.get("X-Forwarded-Host", host.encode())
    assert seen["x-forwarded-port"] == port


@pytest.mark.parametrize("source", ["127.0.0.3", PROXY])
@pytest.mark.parametrize(
    "name", ["X_Forwarded_Proto", "X-Forwarded_Proto", "X_Forwarded-Proto", "X_FORWARDED_FOR", "X_Real_IP", "X-Real_IP"]
)
async def test_lookalikes_reach_nobody(raw: Raw, source: str, name: str) -> None:
    """WSGI, CGI and Rack read an underscore as a dash: spelt so, a claim would pass every proxy that replaces it."""
    await raw.ask("/", name.encode() + b": https", source=source)
    assert raw.app.last.all(name) == []
