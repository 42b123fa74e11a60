"""Calls and uploads over TLS, and what is said about a connection that can't be trusted or leads elsewhere."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sealift.client.address import Address
from sealift.client.archive import pack
from sealift.client.client import Client
from sealift.client.context import scan
from sealift.client.credentials import Endpoint
from sealift.client.errors import InputError, UnreachableError
from sealift.client.probe import probe
from sealift.client.retry import Retry
from sealift.client.testing import KEY, FakeServer
from sealift.client.testing_proxy import ConnectProxy
from sealift.client.testing_tls import Authority, http1_server
from sealift.client.trust import read_ca_file, tls_context, trusted_certificates
from sealift.client.upload import upload_archive

NAME = "sealift.localhost"
# Patience that the tests would notice: what can't be helped by trying again must not be tried again.
SLOW = Retry(first_s=20, tries=2)
REDIRECT = b"HTTP/1.1 308 Permanent Redirect\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlogin"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def tls_server(authority: Authority) -> AsyncIterator[FakeServer]:
    async with FakeServer(tls=authority.issue(NAME)) as server:
        yield server


async def refusal(endpoint: Endpoint) -> UnreachableError:
    async with Client(endpoint, first=SLOW) as client:
        with pytest.raises(UnreachableError) as caught:
            await client.server_info()
    assert KEY not in caught.value.message
    return caught.value


async def test_an_authority_of_its_own(tls_server: FakeServer, authority: Authority) -> None:
    """Promise: a server is trusted by an authority given for it, under a name that only this machine resolves."""
    endpoint = replace(tls_server.endpoint, ca_certificates=authority.certificate)
    async with Client(endpoint) as client:
        assert (await client.server_info()).version == "9.9.9"


async def test_the_systems_authorities(
    tls_server: FakeServer, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: calls trust what the system trusts, not a list that comes with gRPC."""
    system = tmp_path / "system.pem"
    system.write_text(f"# \u00fcber\n{authority.certificate}")
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    async with Client(tls_server.endpoint) as client:
        assert (await client.server_info()).version == "9.9.9"


async def test_an_unknown_authority(tls_server: FakeServer) -> None:
    """Promise: an unknown authority is named as the reason, with what to do, at once."""
    error = await refusal(tls_server.endpoint)
    assert error.code == "tls.unknown_authority"
    assert "--ca-file" in error.message
    assert tls_server.endpoint.url in error.message


@pytest.mark.parametrize(
    ("names", "starts", "ends", "code", "words"),
    [
        (("other.example",), -1, 1, "tls.wrong_name", "another name than sealift.localhost"),
        ((NAME,), -3, -1, "tls.expired", "has expired"),
        ((NAME,), 1, 2, "tls.not_yet_valid", "clock"),
    ],
)
async def test_a_certificate_that_does_not_hold(
    authority: Authority, names: tuple[str, ...], starts: int, ends: int, code: str, words: str
) -> None:
    """Promise: what is wrong with a certificate is said in words, with a stable code."""
    pair = authority.issue(*names, starts_in_days=starts, ends_in_days=ends)
    async with FakeServer(tls=pair) as server:
        error = await refusal(replace(server.endpoint, ca_certificates=authority.certificate))
    assert (error.code, words in error.message) == (code, True)


async def test_https_where_there_is_no_tls(server: FakeServer) -> None:
    """Promise: https:// to a port without TLS is reported as that."""
    error = await refusal(Endpoint(server.endpoint.url.replace("http://", "https://"), KEY))
    assert error.code == "tls.none"


async def test_http_where_there_is_tls(tls_server: FakeServer) -> None:
    """Promise: http:// to a port with TLS is reported with the URL to use."""
    error = await refusal(Endpoint(tls_server.endpoint.url.replace("https://", "http://"), KEY))
    assert error.code == "tls.required"
    assert f"use {tls_server.endpoint.url}" in error.message


@pytest.mark.parametrize("alpn", [(), ("http/1.1",), ("h2",)])
async def test_a_proxy_that_speaks_http1_alone(authority: Authority, tmp_path: Path, alpn: tuple[str, ...]) -> None:
    """Promise: a proxy in front that passes no HTTP/2 is reported as that."""
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with http1_server(answer, authority.issue(NAME), tmp_path, alpn) as port:
        error = await refusal(Endpoint(f"https://{NAME}:{port}", KEY, authority.certificate))
    assert error.code == "connection.http1"
    assert "HTTP/2" in error.message


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (b"https://127.0.0.1:7443/", "https://127.0.0.1:7443: use that URL"),
        (b"https://login.example/?token=secret", "https://login.example: use that URL if"),
        (b"/login", "a page on the same host"),
        (b"//[", "a page on the same host"),
    ],
)
async def test_a_redirect(location: bytes, words: str) -> None:
    """Promise: a redirect is reported with its host, and not followed: the key goes nowhere else."""
    async with http1_server(REDIRECT % location) as port:
        error = await refusal(Endpoint(f"http://127.0.0.1:{port}", KEY))
    assert error.code == "connection.redirected"
    assert words in error.message
    assert "secret" not in error.message


async def test_a_page_in_its_place(authority: Authority, tmp_path: Path) -> None:
    """Promise: a web page, as of a network that wants a login, is not taken for a server that is down."""
    async with http1_server(PAGE, authority.issue(NAME), tmp_path) as port:
        error = await refusal(Endpoint(f"https://{NAME}:{port}", KEY, authority.certificate))
    assert error.code == "connection.not_sealift"
    assert "web page" in error.message


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_app_in_its_place(authority: Authority, tmp_path: Path, scheme: str) -> None:
    """Promise: an app that answers the call in its own way is recognized by its ingress."""
    answer = b"HTTP/1.1 200 OK\r\nX-Sealift-Deployment: dep_1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with http1_server(answer, authority.issue(NAME) if scheme == "https" else None, tmp_path) as port:
        error = await refusal(Endpoint(f"{scheme}://{NAME}:{port}", KEY, authority.certificate))
    assert error.code == "connection.not_sealift"
    assert "is an address for apps of a Sealift installation" in error.message


async def test_the_probe_names_the_host() -> None:
    """Promise: a name below localhost is in `Host`, also without TLS, where one ingress serves many names."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        assert await asyncio.to_thread(probe, Address("http", NAME, port), None) is None
    assert f"Host: {NAME}:{port}".encode() in heads[0]


def test_what_is_no_ca_file(tmp_path: Path, authority: Authority) -> None:
    """Promise: a missing or useless file of authorities is refused by its option, before any call."""
    for text in ("", "hello", "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n"):
        (tmp_path / "ca.pem").write_text(text)
        with pytest.raises(InputError, match=r"--ca-file: .* contains no certificate"):
            read_ca_file(tmp_path / "ca.pem", "--ca-file")
    with pytest.raises(InputError, match="No such file"):
        read_ca_file(tmp_path / "missing", "--ca-file")
    (tmp_path / "ca.pem").write_text(authority.certificate)
    assert read_ca_file(tmp_path / "ca.pem", "--ca-file") == authority.certificate


def test_own_authorities_are_beside_the_systems(authority: Authority) -> None:
    """Promise: an authority of one's own adds to the system's, so that an upload to a public store still works."""
    system, both = len(tls_context().get_ca_certs()), len(tls_context(authority.certificate).get_ca_certs())
    assert both == system + 1 > 50
    assert hashlib.sha256(trusted_certificates().encode()).digest() != hashlib.sha256(b"\n").digest()


async def test_through_a_proxy(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: through an HTTP proxy, TLS goes from the client to the server: the proxy sees neither key nor call."""
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with (
        FakeServer(tls=authority.issue("deploy.example")) as server,
        ConnectProxy(port=server.endpoint.address.port) as proxy,
    ):
        monkeypatch.setenv("https_proxy", proxy.url)
        async with Client(Endpoint("https://deploy.example", KEY, authority.certificate)) as client:
            assert (await client.server_info()).version == "9.9.9"
        error = await refusal(Endpoint("https://deploy.example", KEY))
    assert set(proxy.asked) == {"deploy.example:443"}
    assert all(first[0] == 0x16 for first in proxy.first_bytes)  # a TLS handshake
    assert error.code == "tls.unknown_authority"


async def test_an_upload_over_tls(authority: Authority, tmp_path: Path) -> None:
    """Promise: an upload verifies the same names by the same authorities as calls, and says the same when it can't."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with pack(scan(tmp_path), max_bytes=1 << 20) as archive:
        async with http1_server(answer, authority.issue(NAME), tmp_path) as port:
            url = f"https://{NAME}:{port}/objects/x?signature=topsecret"
            await asyncio.to_thread(upload_archive, archive, url, ca_certificates=authority.certificate)
            with pytest.raises(UnreachableError) as unknown:
                await asyncio.to_thread(upload_archive, archive, url, retry=SLOW)
            other = url.replace(NAME, f"other.{NAME}")
            with pytest.raises(UnreachableError) as wrong:
                await asyncio.to_thread(
                    upload_archive, archive, other, retry=SLOW, ca_certificates=authority.certificate
                )
    assert (unknown.value.code, wrong.value.code) == ("tls.unknown_authority", "tls.wrong_name")
    assert "topsecret" not in unknown.value.message + wrong.value.message
