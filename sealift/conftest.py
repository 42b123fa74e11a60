"""Fixtures of the tests of the client and the command line."""

from collections.abc import AsyncIterator

import pytest

from sealift.client.testing import FakeServer


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer() as fake:
        yield fake
