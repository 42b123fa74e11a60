"""Counters are reported only once they are on disk, and until the api has them or never will."""

from collections.abc import Sequence
from pathlib import Path

import grpc
import grpc.aio
import pytest

from svc.krane.controller.stored_counters import MAX_BATCH, Batches, CounterFile


def file_in(folder: Path) -> CounterFile:
    return CounterFile(folder / "x.state", b"X1\n", b"key", "x of local", "x")


def test_what_is_stored_is_found_again(tmp_path: Path) -> None:
    """Promise: another process finds the content; a file that can't be read counts as none, with a word in the log."""
    first = file_in(tmp_path)
    assert (first.load(bytes), first.is_stored) == (None, False)
    assert first.store(b"abc")
    again = file_in(tmp_path)
    assert (again.load(bytes), again.is_stored) == (b"abc", True)
    (tmp_path / "x.state").write_bytes(b"X1\n damaged")
    assert (file_in(tmp_path).load(bytes), file_in(tmp_path).is_stored) == (None, False)


def test_a_disk_that_takes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Promise: what could not be written does not count as stored, and what could be later does."""
    (tmp_path / "folder").write_text("a file, so that there can be no folder")
    file = file_in(tmp_path / "folder")
    assert (file.store(b"abc"), file.is_stored) == (False, False)
    assert "cannot be stored" in caplog.text
    (tmp_path / "folder").unlink()
    assert (file.store(b"abc"), file.is_stored) == (True, True)


class Api:
    """Takes batches, or refuses them with a status."""

    def __init__(self) -> None:
        self.status: grpc.StatusCode | None = None
        self.sizes: list[int] = []

    async def send(self, batch: Sequence[int]) -> None:
        if self.status is not None:
            raise grpc.aio.AioRpcError(self.status, grpc.aio.Metadata(), grpc.aio.Metadata(), "no")
        self.sizes.append(len(batch))


async def test_what_the_api_does_not_take_stays_due(caplog: pytest.LogCaptureFixture) -> None:
    """Promise: an api that is away costs nothing but time, and is told of once."""
    api, due = Api(), list(range(MAX_BATCH + 1))
    batches = Batches[int](api.send, "x")
    api.status = grpc.StatusCode.UNAVAILABLE
    with caplog.at_level("INFO"):
        for _ in range(2):
            await batches.report(due, lambda batch: pytest.fail(f"{batch} was not taken"))
    assert caplog.text.count("trying again") == 1
    api.status = None
    taken: list[int] = []
    await batches.report(due, taken.extend)
    assert (taken, api.sizes) == (due, [MAX_BATCH, 1])


async def test_what_the_api_refuses_for_ever_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """Promise: a report that will never be taken does not hold up the next ones."""
    api, taken = Api(), list[int]()
    api.status = grpc.StatusCode.INVALID_ARGUMENT
    await Batches[int](api.send, "x").report([1, 2], taken.extend)
    assert taken == [1, 2]
    assert "given up" in caplog.text
