"""Fixtures of the tests of this folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest

from pkg.buildkit.channel import unix_channel
from pkg.buildkit.pb import control_pb2_grpc
from pkg.buildkit.testing import Daemon


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    servicer = Daemon()
    server = grpc.aio.server()
    control_pb2_grpc.add_ControlServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix:{tmp_path}/d")
    await server.start()
    yield servicer
    await server.stop(0)


@pytest.fixture
async def channel(daemon: Daemon, tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    async with unix_channel(tmp_path / "d") as made:
        yield made
