"""The table gRPC status -> exception is a contract: scripts catch these classes."""

import grpc
import pytest

from sealift.client.client import Client
from sealift.client.credentials import Endpoint
from sealift.client.errors import BY_STATUS, AuthError, NotFoundError, UnreachableError, from_rpc
from sealift.client.retry import ONCE
from sealift.client.testing import REQUEST_ID, FakeServer


def test_every_status_has_a_class() -> None:
    """Promise: no status of gRPC leaves the client untyped."""
    assert {status.name for status in grpc.StatusCode} - {"OK"} == set(BY_STATUS)


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK])
async def test_status_over_a_real_channel(server: FakeServer, status: grpc.StatusCode) -> None:
    """Promise: each status arrives as the class of the table."""
    server.faults["GetServerInfo"] = [status]
    async with Client(server.endpoint, retry=ONCE) as client:
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
    """Promise: a wrong key is an AuthError whose text does not hold the key."""
    async with Client(Endpoint(server.endpoint.url, "slk_wrong")) as client:
        with pytest.raises(AuthError) as caught:
            await client.server_info()
    assert caught.value.code == "auth.invalid_key"
    assert "slk_wrong" not in str(caught.value)


async def test_nobody_listens() -> None:
    """Promise: an address where nobody listens is named, with the reason and what to check."""
    async with Client(Endpoint("http://127.0.0.1:9", "slk_x"), retry=ONCE) as client:
        with pytest.raises(UnreachableError, match=r"http://127.0.0.1:9 .*refused.*--url"):
            await client.server_info()


def test_garbage_in_the_trailer_is_no_crash() -> None:
    """Promise: a broken detail of a proxy still gives the typed error."""
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.NOT_FOUND,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff\xff")),
        details="gone",
    )
    assert isinstance(from_rpc(error, "http://x"), NotFoundError)
