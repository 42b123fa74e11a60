"""What would be refused by the server is refused before it is packed."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from sealift.client import context_limits
from sealift.client.archive import pack
from sealift.client.context import Context, scan
from sealift.client.errors import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    return tmp_path


def refused(context: Context, monkeypatch: pytest.MonkeyPatch) -> InputError:
    """The refusal of a pack that never gets to the point of making an archive."""
    monkeypatch.setattr("sealift.client.archive._unlinked_file", lambda: pytest.fail("packed"))
    with pytest.raises(InputError) as caught:
        pack(context, max_bytes=1 << 30)
    return caught.value


@pytest.mark.parametrize("layout", ["hole", "data first", "data last", "data between"])
def test_a_sparse_file(root: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    """Promise: a file of holes is named, with its size, what it holds and what to do, whatever lies where in it."""
    size = 3 << 30
    with (root / "vm.img").open("wb") as file:
        at = {"data first": 0, "data last": size - 4096, "data between": size // 2}.get(layout)
        if at is not None:
            file.seek(at)
            file.write(os.urandom(4096))
        file.truncate(size)
    error = refused(scan(root), monkeypatch)
    assert error.code == "context.sparse"
    held = "0 B" if layout == "hole" else "4.0 KiB"
    assert f"vm.img is a sparse file of 3.0 GiB with {held} of data" in error.message
    assert ".dockerignore" in error.message


def test_small_holes_and_files_without_any(root: Path) -> None:
    """Promise: files without holes, or with small ones, are packed."""
    with (root / "full").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 80 << 20)
    with (root / "few").open("wb") as file:
        file.truncate(context_limits.MAX_HOLE_BYTES)
    context_limits.check_limits(scan(root))


def test_more_than_is_unpacked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a context that is too large as a whole is refused with the largest files, before one is read."""
    context = scan(root)
    entries = [replace(context.files[0], path=f"db/{n}.bin", size_bytes=(2 << 30) + n) for n in range(5)]
    error = refused(replace(context, entries=tuple(entries)), monkeypatch)
    assert error.code == "context.too_large"
    assert "10.0 GiB, the limit is 8.0 GiB" in error.message
    assert "The largest files: db/4.bin (2.0 GiB)" in error.message


def test_more_entries_and_longer_names(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: too many files are refused with where most of them are; paths over the bounds by name."""
    context = scan(root)
    [file] = context.files
    many = tuple(replace(file, path=f"node_modules/{n}") for n in range(context_limits.MAX_ENTRIES + 1))
    error = refused(replace(context, entries=many), monkeypatch)
    assert error.code == "context.too_many_entries"
    assert "Directories with the most: node_modules (200001)" in error.message
    for path in ("d/" * 255 + "f", "x" * 200 + "/" + "y" * 3896):
        error = refused(replace(context, entries=(replace(file, path=path),)), monkeypatch)
        assert error.code == "context.name_too_long"
    context_limits.check_limits(replace(context, entries=(replace(file, path="d/" * 254 + "f"),)))
