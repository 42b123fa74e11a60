"""Fixtures of the worker's tests: a real Restate, normal and with replay forced, and a harness per test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pkg.restate.testing import RestateServer
from pkg.storage.s3.testing import SwiftServer
from svc.worker.testing.harness import WorkerHarness, worker_harness


@pytest.fixture(scope="session", params=["normal", "always_replay"])
def restate_server(request: pytest.FixtureRequest) -> Iterator[RestateServer]:
    with RestateServer(always_replay=request.param == "always_replay") as server:
        yield server


@pytest.fixture
async def harness(restate_server: RestateServer, tmp_path: Path) -> AsyncIterator[WorkerHarness]:
    async with worker_harness(restate_server, tmp_path) as one:
        yield one


@pytest.fixture(scope="session")
def s3_server() -> Iterator[SwiftServer]:
    """An S3 server that verifies signatures; it fails, with the remedy, where it was not prepared."""
    with SwiftServer() as server:
        yield server
