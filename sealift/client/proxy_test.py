"""Which proxy leads where, over a real proxy: the same for calls and uploads."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.client.address import Address
from sealift.client.archive import pack
from sealift.client.client import Client
from sealift.client.context import scan
from sealift.client.credentials import Endpoint
from sealift.client.errors import InputError, UnreachableError
from sealift.client.proxy import proxy_for
from sealift.client.retry import ONCE
from sealift.client.testing import KEY, FakeServer
from sealift.client.testing_proxy import ConnectProxy
from sealift.client.upload import upload_archive

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "grpc_proxy", "no_grpc_proxy", "REQUEST_METHOD")
P, Q = "http://p:3128", "http://q:3128"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("url", "env", "via"),
    [
        ("http://x", {}, None),
        ("http://x", {"http_proxy": P}, P),
        ("http://x", {"HTTP_PROXY": P}, P),
        ("http://x", {"http_proxy": P, "HTTP_PROXY": Q}, P),
        ("http://x", {"http_proxy": "", "HTTP_PROXY": Q}, Q),
        ("http://x", {"https_proxy": P}, None),
        ("https://x", {"http_proxy": P}, None),
        ("HTTPS://x", {"HTTPS_PROXY": P}, P),
        ("https://x", {"ALL_PROXY": P}, P),
        ("https://x", {"all_proxy": P, "HTTPS_PROXY": Q}, Q),
        ("http://x", {"HTTP_PROXY": P, "REQUEST_METHOD": "GET"}, None),
        ("http://x", {"http_proxy": P, "REQUEST_METHOD": "GET"}, P),
        ("http://x", {"grpc_proxy": P}, None),
        ("http://x", {"http_proxy": "p:3128"}, P),
        ("http://x", {"http_proxy": "HTTP://u:s%40@P:3128/"}, P),
        ("http://x", {"http_proxy": P, "no_proxy": ""}, P),
        ("http://x", {"http_proxy": P, "no_proxy": "*"}, None),
        ("http://x", {"http_proxy": P, "NO_PROXY": "y, X"}, None),
        ("http://a.corp.example", {"http_proxy": P, "no_proxy": ".corp.example"}, None),
        ("http://a.corp.example", {"http_proxy": P, "no_proxy": "*.corp.example"}, None),
        ("http://a.corp.example.", {"http_proxy": P, "no_proxy": "corp.example"}, None),
        ("http://corp.example", {"http_proxy": P, "no_proxy": ".corp.example"}, None),
        ("http://notcorp.example", {"http_proxy": P, "no_proxy": "corp.example"}, P),
        ("http://x:7400", {"http_proxy": P, "no_proxy": "x:7400"}, None),
        ("http://x:7401", {"http_proxy": P, "no_proxy": "x:7400"}, P),
        ("http://10.1.2.3", {"http_proxy": P, "no_proxy": "10.0.0.0/8 192.168.0.0/16"}, None),
        ("http://11.1.2.3", {"http_proxy": P, "no_proxy": "10.0.0.0/8"}, P),
        ("http://[fd00::1]", {"http_proxy": P, "no_proxy": "fd00::1"}, None),
        ("http://[fd00::1]:1", {"http_proxy": P, "no_proxy": "[fd00::1]:1"}, None),
        ("http://[fd00::1]", {"http_proxy": P, "no_proxy": "fd00::/8"}, None),
        ("http://x", {"http_proxy": P, "no_proxy": "a/b,:,[,x:y,%"}, P),
        ("http://127.0.0.1:7400", {"http_proxy": P}, None),
        ("http://LOCALHOST", {"http_proxy": P}, None),
        ("https://[::1]", {"https_proxy": P}, None),
        ("http://api.sealift.localhost", {"all_proxy": P}, None),
    ],
)
def test_rule(url: str, env: Mapping[str, str], via: str | None) -> None:
    """Promise: scheme, case, exceptions and httpoxy work as in curl; this machine is never reached through a proxy."""
    found = proxy_for(Address.parse(url), env)
    assert (found and str(found.address)) == via


@pytest.mark.parametrize("value", ["socks5://p:1", "https://u:hunter2@p", "http://u:hunter2@", "http://p:x"])
def test_what_is_no_proxy(value: str) -> None:
    """Promise: an unusable proxy is reported by its variable, with a workaround and without its password."""
    with pytest.raises(InputError) as caught:
        proxy_for(Address.parse("http://x"), {"ALL_PROXY": value})
    assert "ALL_PROXY is not a usable proxy" in caught.value.message
    assert "NO_PROXY=x" in caught.value.message
    assert "hunter2" not in caught.value.message


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_variables(proxy: str, exempt: str) -> None:
    """Promise: any variables give a proxy, none, or an InputError; loopback ignores them."""
    env = {"http_proxy": proxy, "no_proxy": exempt}
    assert proxy_for(Address.parse("http://127.0.0.1"), env) is None
    try:
        found = proxy_for(Address.parse("http://x"), env)
    except InputError:
        return
    assert found is None or found.variable == "http_proxy"


def port_of(url: str) -> int:
    return Address.parse(url).port


async def test_calls_go_through_a_tunnel(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: calls use the selected proxy, with its password, regardless of gRPC's own variables."""
    async with ConnectProxy(port=port_of(server.endpoint.url)) as proxy:
        proxy.login = "me:p@ss"
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:p%40ss@"))
        monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_grpc_proxy", "example")
        async with Client(Endpoint("http://deploy.example:7400", KEY), first=ONCE) as client:
            assert (await client.server_info()).version == "9.9.9"
    assert proxy.asked == ["deploy.example:7400"]
    assert dict(os.environ)["no_grpc_proxy"] == "example"


async def test_this_machine_is_reached_directly(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: the local stack, including its subdomains, is reached directly despite a proxy in the environment."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    port = port_of(server.endpoint.url)
    for host in ("127.0.0.1", "localhost", "api.sealift.localhost"):
        async with Client(Endpoint(f"http://{host}:{port}", KEY), first=ONCE) as client:
            assert (await client.server_info()).version == "9.9.9"


@pytest.mark.parametrize("is_away", [True, False])
async def test_a_proxy_that_fails_is_named(is_away: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a failure through a proxy reports the proxy, its variable and a workaround."""
    async with ConnectProxy() as proxy:
        proxy.refuse = True
        url = "http://127.0.0.1:9" if is_away else proxy.url
        monkeypatch.setenv("http_proxy", url.replace("//", "//me:hunter2@"))
        async with Client(Endpoint("http://deploy.example:7400", KEY), first=ONCE) as client:
            with pytest.raises(UnreachableError) as caught:
                await client.server_info()
    assert f"through the proxy {url} (from http_proxy)" in caught.value.message
    assert "NO_PROXY=deploy.example" in caught.value.message
    assert "hunter2" not in caught.value.message


async def test_uploads_go_through_the_same_proxy(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: uploads use the same proxy in a tunnel, so the proxy never sees the signed URL."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with pack(scan(tmp_path), max_bytes=1 << 20) as archive:
        async with ConnectProxy(port=port_of(server.store.url)) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            url = f"http://store.example:9000/objects/{archive.sha256}?sig=topsecret"
            await asyncio.to_thread(upload_archive, archive, url)
            assert proxy.asked == ["store.example:9000"]
            proxy.refuse = True
            with pytest.raises(UnreachableError) as caught:
                await asyncio.to_thread(upload_archive, archive, url, retry=ONCE)
    assert archive.sha256 in server.store.objects
    assert f"through the proxy {proxy.url} (from http_proxy)" in caught.value.message
    assert "topsecret" not in caught.value.message
