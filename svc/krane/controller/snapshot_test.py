"""The stored snapshot."""

import asyncio
from pathlib import Path

import pytest

from pkg.feed.testing import as_old_program
from sealift.ctrl.v1 import cluster_pb2 as pb
from svc.krane.controller.desired import DesiredState
from svc.krane.controller.sealed_file import SealedFile
from svc.krane.controller.snapshot import SnapshotFile, snapshot_writer
from svc.krane.controller.write_behind import WriteBehind
from svc.krane.testing.feed import begin, certificate, end, route, state_of
from svc.krane.testing.routes import routes_to

KEY = b"slk_key_of_krane\n"


def example() -> DesiredState:
    secret = pb.Topology(deployment_id="dep_a", variables={"TOKEN": "very-secret-value"})
    item = pb.WatchDesiredStateResponse(version=3, topology=secret)
    key = certificate("crt_1", "a.x", chain=b"chain", key=b"very-secret-key", version=3)
    return state_of(begin(version=3), item, route("a.x", "dep_a", 3), key, end(3))


def stored(folder: Path) -> SnapshotFile:
    file = SnapshotFile(folder, KEY, "local")
    file.sealed.store(file.sealed.encode(file.frames(example(), "inst_1")))
    return file


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    # Promise: krane starts from its last complete snapshot, cursor and installation included.
    state = DesiredState()
    assert stored(tmp_path).load(state) == "inst_1"
    assert state.is_complete
    assert not state.is_confirmed
    assert (state.version, state.epoch, state.routes()) == (3, "e1", routes_to({"a.x": "dep_a"}))
    found = state.topology("dep_a")
    assert found is not None
    assert found.variables["TOKEN"] == "very-secret-value"
    assert state.certificates()["crt_1"].private_key_pem == b"very-secret-key"


def test_what_a_krane_from_before_capabilities_stored_is_read(tmp_path: Path) -> None:
    # Promise: an upgraded krane serves at once what the one before it served, and asks for all that it may have missed.
    purpose = b"sealift krane snapshot\0local"
    file = SealedFile(tmp_path / "desired.snapshot", b"SLKS1\n", KEY.strip(), purpose)
    messages = [as_old_program(message) for message in (begin(version=3), route("a.x", "dep_a", 3), end(3))]
    frames = [b'{"installation_id":"inst_1"}', *(message.SerializeToString() for message in messages)]
    file.store(file.encode(frames))
    state = DesiredState()
    assert SnapshotFile(tmp_path, KEY, "local").load(state) == "inst_1"
    assert state.routes() == routes_to({"a.x": "dep_a"})
    assert (state.is_complete, state.is_partial) == (True, True)


def test_no_secret_is_readable_in_the_file(tmp_path: Path) -> None:
    # Promise: variables of tenants are not in clear on disk, and the file is ours alone.
    path = stored(tmp_path / "state").sealed.path
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert b"very-secret" not in path.read_bytes()
    assert b"dep_a" not in path.read_bytes()


def test_a_file_that_cannot_be_used_is_as_good_as_none(tmp_path: Path) -> None:
    # Promise: damage or another key means waiting for the api, never acting on garbage.
    file = stored(tmp_path)
    whole = file.sealed.path.read_bytes()
    assert SnapshotFile(tmp_path, b"other key", "local").load(DesiredState()) is None
    assert SnapshotFile(tmp_path, KEY, "elsewhere").load(DesiredState()) is None
    for damaged in (b"", b"SLKS1\n", whole[:-1], b"x" + whole, whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]):
        file.sealed.path.write_bytes(damaged)
        state = DesiredState()
        assert file.load(state) is None
        assert not state.is_complete
    file.sealed.path.unlink()
    assert file.load(DesiredState()) is None


def test_a_failed_write_keeps_the_old_file_and_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Promise: a full disk costs freshness, not the snapshot.
    file = stored(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.sealed.store(b"new")
    monkeypatch.undo()
    assert file.load(DesiredState()) == "inst_1"
    assert [path.name for path in tmp_path.iterdir()] == ["desired.snapshot"]


def test_drafts_of_a_crash_are_swept(tmp_path: Path) -> None:
    # Promise: disk use stays bounded however often krane is killed.
    file = stored(tmp_path)
    (tmp_path / "desired.abcd1234.tmp").write_bytes(b"half")
    WriteBehind(file.sealed, list)
    assert [path.name for path in tmp_path.iterdir()] == ["desired.snapshot"]


async def test_the_writer_tells_when_a_change_is_on_disk(tmp_path: Path) -> None:
    # Promise: a version is reported as applied only once it would survive a crash.
    state = example()
    file = SnapshotFile(tmp_path, KEY, "local")
    writer = snapshot_writer(file, state, "inst_1")
    generation = writer.changed()
    assert not await writer.wait_saved(generation, 0.01)
    task = asyncio.create_task(writer.run())
    try:
        assert await writer.wait_saved(generation, 5)
        state.apply(route("b.x", "dep_a", 4))
        assert await writer.wait_saved(writer.changed(), 5)
        again = DesiredState()
        file.load(again)
        assert again.routes() == routes_to({"a.x": "dep_a", "b.x": "dep_a"})
    finally:
        task.cancel()
        await writer.close()
