"""What strangers may hold of the gRPC listener, on real sockets."""

import asyncio
import contextlib
import socket

import grpc
import pytest
from grpc import aio

from pkg.listener import raise_descriptor_limit
from pkg.testing.wait import WAIT_S
from svc.api.servers import GRPC_CONNECTIONS
from svc.api.testing import RunningApi


async def test_connections_are_bounded(api: RunningApi) -> None:
    """Promise: connections over the limit are closed at once, before any key; when others end, there is room again."""
    raise_descriptor_limit()
    host, _, port = api.grpc.rpartition(":")
    with contextlib.ExitStack() as held:
        for _ in range(GRPC_CONNECTIONS + 50):
            held.enter_context(socket.create_connection((host, int(port)), timeout=WAIT_S))
        async with aio.insecure_channel(api.grpc) as channel:
            with pytest.raises(aio.AioRpcError) as caught:
                await channel.unary_unary("/sealift.ctrl.v1.CtrlService/Liveness")(b"", timeout=WAIT_S)
            assert caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    async with aio.insecure_channel(api.grpc) as channel, asyncio.timeout(WAIT_S):
        await channel.unary_unary("/sealift.ctrl.v1.CtrlService/Liveness")(b"", wait_for_ready=True)
