"""The table gRPC status -> exception is a contract: scripts catch these classes."""

import grpc
import pytest

from sealift.client.address import Address
from sealift.client.client import Client
from sealift.client.credentials import Endpoint
from sealift.client.errors import BY_STATUS, AuthError, NotFoundError, UnreachableError, connection_problem, from_rpc
from sealift.client.retry import ONCE
from sealift.client.testing import REQUEST_ID, FakeServer


def test_every_status_has_a_class() -> None:
    """Promise: every gRPC status has an error class."""
    assert {status.name for status in grpc.StatusCode} - {"OK"} == set(BY_STATUS)


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK])
async def test_status_over_a_real_channel(server: FakeServer, status: grpc.StatusCode) -> None:
    """Promise: each status raises the class in the table."""
    server.faults["GetServerInfo"] = [status]
    async with Client(server.endpoint, first=ONCE, retry=ONCE) as client:
        with pytest.raises(BY_STATUS[status.name]):
            await client.server_info()


async def test_code_message_and_request_id_come_from_the_trailer(server: FakeServer) -> None:
    """Promise: the server's stable code and request id reach the caller."""
    async with Client(server.endpoint) as client:
        with pytest.raises(NotFoundError) as caught:
            await client.deployment("dep_x")
    assert caught.value.code == "deployment.not_found"
    assert caught.value.request_id == REQUEST_ID
    assert "dep_x" in caught.value.message


async def test_wrong_key(server: FakeServer) -> None:
    """Promise: a wrong key is an AuthError whose message does not contain the key."""
    async with Client(Endpoint(server.endpoint.url, "slk_wrong")) as client:
        with pytest.raises(AuthError) as caught:
            await client.server_info()
    assert caught.value.code == "auth.invalid_key"
    assert "slk_wrong" not in str(caught.value)


async def test_nobody_listens() -> None:
    """Promise: an unreachable URL is reported with the reason and what to check."""
    async with Client(Endpoint("http://127.0.0.1:9", "slk_x"), retry=ONCE) as client:
        with pytest.raises(UnreachableError, match=r"http://127.0.0.1:9 .*refused.*the URL is right"):
            await client.server_info()


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ("...; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused", "refused"),
        ("errors resolving x:3: [field:hostname lookup error: failed for x:3: Domain name not found]", "unknown host"),
        ("upstream connect error or disconnect/reset before headers. reset reason: timeout", "does not reach it"),
    ],
)
def test_why_there_is_no_connection(details: str, words: str) -> None:
    """Promise: the reason is useful, whatever gRPC's long text ends with."""
    none = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, none, none, details=details)
    message = from_rpc(error, Address("http", "x", 80)).message
    assert words in message
    assert message.startswith("can't reach the Sealift server at http://x (")


@pytest.mark.parametrize(
    ("details", "code"),
    [
        ("Tls handshake failed: SSL_ERROR_SSL: WRONG_VERSION_NUMBER: Invalid certificate context: OK", "tls.none"),
        ("Tls handshake failed: SSLV3_ALERT_HANDSHAKE_FAILURE: Invalid context: OK", "tls.no_certificate"),
        ("Failed parsing HTTP/2 (Trying to connect an http1.x server (HTTP status 400))", "connection.http1"),
        ("<html>", "server"),
    ],
)
def test_what_is_wrong_with_the_connection(details: str, code: str) -> None:
    """Promise: what trying again does not help has a code of its own."""
    none = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, none, none, details=details)
    found = connection_problem(error, Address("http", "x", 7401))
    assert (found.code if found else "server") == code
    if code == "connection.http1":
        assert "http://x:7401 is an HTTP port: use the gRPC port" in from_rpc(error, Address("http", "x", 7401)).message


def test_https_by_address() -> None:
    """Promise: a server that knows hostnames only, as an ingress, is told from one that is down."""
    none = grpc.aio.Metadata()
    details = "UNAVAILABLE: ipv4:192.0.2.1:443: Handshake read failed (recvmsg:Connection reset by peer (104))"
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, none, none, details=details)
    named = from_rpc(error, Address("https", "deploy.example", 443))
    assert (named.code, "Connection reset by peer" in named.message) == ("unavailable", True)
    by_address = from_rpc(error, Address("https", "192.0.2.1", 443))
    assert (by_address.code, "with the server's hostname" in by_address.message) == ("tls.no_certificate", True)


@pytest.mark.parametrize("status", [grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE])
def test_the_name_of_an_app(status: grpc.StatusCode) -> None:
    """Promise: who takes the address of an app for that of the api is told so, and waits for nothing."""
    trailers = grpc.aio.Metadata(("x-sealift-error", "ingress.stopped"))
    error = grpc.aio.AioRpcError(status, grpc.aio.Metadata(), trailers, details="the app at app.example is stopped")
    server = Address("https", "app.example", 443)
    assert connection_problem(error, server) is not None
    assert from_rpc(error, server).code == "connection.not_sealift"
    assert "https://app.example is an address for apps" in from_rpc(error, server).message


def test_garbage_in_the_trailer_is_no_crash() -> None:
    """Promise: invalid error details from a proxy still give the typed error."""
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.NOT_FOUND,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff\xff")),
        details="gone",
    )
    assert isinstance(from_rpc(error, Address("http", "x", 80)), NotFoundError)
