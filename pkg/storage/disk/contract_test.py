"""The Disk store passes the tests of every store, and says what the operator has to repair."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pkg.errors import Unavailable
from pkg.storage.contract import ObjectStoreContract
from pkg.storage.disk.store import DiskStore
from pkg.storage.disk.testing import served


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    async with served(tmp_path / "objects") as disk:
        yield disk


class TestDiskStore(ObjectStoreContract):
    """All of the contract."""


async def test_a_folder_that_is_gone_is_named(store: DiskStore, tmp_path: Path) -> None:
    """Promise: health says which folder is not usable; a disk that was not mounted is not taken for an empty store."""
    (tmp_path / "objects").rename(tmp_path / "elsewhere")
    with pytest.raises(Unavailable, match=rf"object\.unavailable.*{tmp_path}/objects"):
        await store.check()
