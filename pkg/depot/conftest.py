"""Fixtures of the tests of this folder."""

from collections.abc import AsyncIterator

import pytest

from pkg.depot.testing import DepotDouble, depot_double


@pytest.fixture
async def depot() -> AsyncIterator[DepotDouble]:
    """Depot, without machines."""
    async with depot_double() as double:
        yield double
