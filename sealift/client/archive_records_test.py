"""The records of what was packed: found when they are good, nothing when they are not, and never in the way."""

import hashlib
import json
import os
import random
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sealift.client.archive_records import ArchiveRecord, ArchiveRecords
from sealift.client.cache_files import MAX_AGE_S, MAX_RECORDS
from sealift.client.context import Context, scan
from sealift.client.fingerprint import SETTLED_AFTER_NS

PACKED = ArchiveRecord("ab" * 32, 4711, "ef" * 32)


def settled(root: Path, name: str = "app") -> Context:
    """A context whose files were touched long ago, as far as its scan knows."""
    directory = root / name
    directory.mkdir(exist_ok=True)
    (directory / "Dockerfile").write_text("FROM scratch\n")
    context = scan(directory)
    return replace(context, scanned_at_ns=context.scanned_at_ns + 10 * SETTLED_AFTER_NS)


@pytest.fixture
def records(tmp_path: Path) -> ArchiveRecords:
    return ArchiveRecords({}, tmp_path)


def with_sum(values: dict[str, object]) -> bytes:
    text = json.dumps(values).encode()
    return text + hashlib.sha256(text).hexdigest().encode()


def record_files(home: Path) -> list[Path]:
    return sorted((home / ".cache/sealift/contexts").iterdir())


def test_what_was_remembered_is_found(tmp_path: Path, records: ArchiveRecords) -> None:
    """Promise: the same tree is recognized; another directory or Dockerfile is not."""
    context = settled(tmp_path)
    assert records.find(context) is None
    assert records.save(context, PACKED)
    assert records.find(context) == PACKED
    assert records.find(scan(context.root)) == PACKED
    assert records.find(replace(context, dockerfile="other")) is None
    assert records.find(settled(tmp_path, "twin")) is None


def test_a_changed_tree_is_not_found(tmp_path: Path, records: ArchiveRecords) -> None:
    """Promise: a change invalidates the record; the next one replaces it."""
    context = settled(tmp_path)
    records.save(context, PACKED)
    (context.root / "Dockerfile").write_text("FROM another\n")
    assert records.find(scan(context.root)) is None
    records.save(settled(tmp_path), ArchiveRecord("cd" * 32, 1, "ef" * 32))
    assert len(record_files(tmp_path)) == 1


def test_a_file_written_just_before_is_not_remembered(tmp_path: Path, records: ArchiveRecords) -> None:
    """Promise: a tree that may change within the clock's tick leaves no record."""
    context = settled(tmp_path)
    assert not records.save(scan(context.root), PACKED)
    assert not (tmp_path / ".cache").exists()


def test_records_are_private_and_say_little(tmp_path: Path, records: ArchiveRecords) -> None:
    """Promise: directories 0700, files 0600, whatever the umask; no path, no name and no content in them."""
    before = os.umask(0)
    try:
        records.save(settled(tmp_path, "secret-plan"), PACKED)
    finally:
        os.umask(before)
    [record] = record_files(tmp_path)
    for path, mode in ((record, 0o600), *((parent, 0o700) for parent in list(record.parents)[:3])):
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
    content = record.read_bytes()
    assert set(json.loads(content[:-64])) == {"fingerprint", "sha256", "size_bytes", "tree_sha256"}
    assert b"secret-plan" not in record.name.encode() + content


def test_a_damaged_record_counts_as_none(tmp_path: Path, records: ArchiveRecords) -> None:
    """Promise: truncated, corrupt, empty or replaced records are ignored without an error."""
    context, chance = settled(tmp_path), random.Random(20_265)
    records.save(context, PACKED)
    [record] = record_files(tmp_path)
    good = record.read_bytes()
    values = json.loads(good[:-64])
    damaged = [good[: chance.randrange(len(good) - 1)] for _ in range(50)]
    for _ in range(200):
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        damaged.append(bytes(bad))
    damaged += [b"", b"null", b"[]", b"7", b"\xff" * 100, b"[" * 4000, b"{}", good * 20]
    for key, value in (("sha256", 7), ("size_bytes", 0), ("size_bytes", "1"), ("tree_sha256", None)):
        damaged.append(with_sum({**values, key: value}))
    damaged.append(with_sum({**values, "more": 1}))
    for bad_record in damaged:
        record.write_bytes(bad_record)
        assert records.find(context) is None, bad_record
    record.write_bytes(good)
    assert records.find(context) == PACKED


@pytest.mark.parametrize("mode", [0o622, 0o620])
def test_a_record_that_others_can_write_counts_as_none(tmp_path: Path, records: ArchiveRecords, mode: int) -> None:
    """Promise: records that another user could have written are ignored."""
    context = settled(tmp_path)
    records.save(context, PACKED)
    record_files(tmp_path)[0].chmod(mode)
    assert records.find(context) is None


def test_a_record_is_no_link_and_no_pipe(tmp_path: Path, records: ArchiveRecords) -> None:
    """Promise: links and pipes in place of a record are neither followed nor waited for."""
    context = settled(tmp_path)
    records.save(context, PACKED)
    [record] = record_files(tmp_path)
    elsewhere = record.rename(tmp_path / "elsewhere")
    record.symlink_to(elsewhere)
    assert records.find(context) is None
    record.unlink()
    os.mkfifo(record, 0o600)
    assert records.find(context) is None


def test_records_are_bounded(tmp_path: Path, records: ArchiveRecords) -> None:
    """Promise: old and unfinished records, and the oldest of too many, are deleted."""
    first = settled(tmp_path, "first")
    records.save(first, PACKED)
    [oldest] = record_files(tmp_path)
    os.utime(oldest, (0, time.time() - MAX_AGE_S - 1))
    assert records.find(first) is None
    unfinished = oldest.with_name("new-abc")
    unfinished.touch()
    os.utime(unfinished, (0, time.time() - 7200))
    for number in range(MAX_RECORDS + 5):
        records.save(settled(tmp_path, f"app{number}"), PACKED)
    left = record_files(tmp_path)
    assert len(left) == MAX_RECORDS
    assert not {oldest, unfinished} & set(left)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """Promise: a file in the way, no home, or a relative XDG_CACHE_HOME only disable the records."""
    context = settled(tmp_path)
    (tmp_path / "file").touch()
    records = ArchiveRecords({"XDG_CACHE_HOME": str(tmp_path / "file")}, tmp_path)
    assert not records.save(context, PACKED)
    assert records.find(context) is None
    assert not ArchiveRecords({}, Path("relative")).save(context, PACKED)
    elsewhere = tmp_path / "elsewhere"
    assert ArchiveRecords({"XDG_CACHE_HOME": str(elsewhere)}, tmp_path).save(context, PACKED)
    assert (elsewhere / "sealift/contexts").is_dir()
    assert ArchiveRecords({"XDG_CACHE_HOME": "relative"}, tmp_path).save(context, PACKED)
    assert (tmp_path / ".cache").is_dir()


def test_the_home_of_another_user_is_left_alone(
    tmp_path: Path, records: ArchiveRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: in another user's HOME, as with `sudo`, nothing is created."""
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert not records.save(settled(tmp_path), PACKED)
    assert not (tmp_path / ".cache").exists()
