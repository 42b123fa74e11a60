"""The S3 store passes the tests of every store, on a server that verifies signatures."""

from collections.abc import AsyncIterator

import pytest

from pkg.storage import preparing
from pkg.storage.contract import ObjectStoreContract
from pkg.storage.s3.store import S3Store
from pkg.storage.s3.testing import SwiftServer, fronted


@pytest.fixture
async def store(s3_server: SwiftServer) -> AsyncIterator[S3Store]:
    opened = s3_server.config().open()
    await preparing.prepare(opened)
    yield opened
    await opened.close()


class TestS3Store(ObjectStoreContract):
    """All of the contract, on a server that does not know checksums."""


class TestS3StoreThatChecksSha256(ObjectStoreContract):
    """All of the contract, on a server that compares the sha256 of uploads."""

    @pytest.fixture
    async def store(self, s3_server: SwiftServer) -> AsyncIterator[S3Store]:
        async with fronted(s3_server) as front:
            front.checks_sha256 = True
            opened = s3_server.config(url=front.url).open()
            await preparing.prepare(opened)
            assert opened.capabilities.checks_sha256
            yield opened
            await opened.close()
