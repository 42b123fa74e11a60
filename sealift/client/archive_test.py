"""The archive: deterministic, readable by anyone, bounded, and gone when it is closed."""

import gzip
import io
import os
import tarfile
import tempfile
import threading
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealift.client import archive
from sealift.client.archive import BLOCK_BYTES, Stopped, pack
from sealift.client.context import scan
from sealift.client.errors import ClientError, InputError

LIMIT = 1 << 30


def packed(root: Path) -> bytes:
    with pack(scan(root), max_bytes=LIMIT) as made:
        content = os.pread(made.file.fileno(), made.size_bytes + 1, 0)
        assert len(content) == made.size_bytes
        return content


def members(content: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        return tar.getmembers()


def app(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "Dockerfile").write_text("FROM scratch")
    (root / ".dockerignore").write_text("")
    return root


def test_same_tree_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: times, modes beyond the execute bit, order of creation and cores don't change the archive."""
    one, two = app(tmp_path / "one"), app(tmp_path / "two")
    for name in ("a", "b", "c"):
        (one / name).write_bytes(name.encode() * 400_000)
    for name in ("c", "b", "a"):
        (two / name).write_bytes(name.encode() * 400_000)
        (two / name).chmod(0o600)
        os.utime(two / name, (1, 1))
    first = packed(one)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert packed(two) == first


def test_headers_hold_nothing_of_this_machine(tmp_path: Path) -> None:
    """Promise: no times, owners or odd modes; the gzip header has no time either."""
    root = app(tmp_path)
    (root / "run.sh").write_text("x")
    (root / "run.sh").chmod(0o751)
    (root / "empty").mkdir()
    (root / "link").symlink_to("run.sh")
    content = packed(root)
    assert content[4:8] == bytes(4)
    found = {m.name: m for m in members(content)}
    assert all((m.mtime, m.uid, m.gid, m.uname, m.gname) == (0, 0, 0, "", "") for m in found.values())
    assert {name: m.mode for name, m in found.items()} == {
        ".dockerignore": 0o644, "Dockerfile": 0o644, "empty": 0o755, "link": 0o777, "run.sh": 0o755,
    }  # fmt: skip
    assert found["link"].linkname == "run.sh"
    assert found["empty"].isdir()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text(st.characters(categories=("L", "N", "So"), include_characters=" -_."), min_size=1, max_size=60).filter(
            lambda name: name.strip(".") and len(name.encode()) < 250
        ),
        st.one_of(
            st.binary(max_size=2000), st.sampled_from([BLOCK_BYTES - 1536, BLOCK_BYTES, BLOCK_BYTES + 1]).map(bytes)
        ),
        max_size=6,
    )
)
def test_round_trip(files: dict[str, bytes]) -> None:
    """Promise: what goes in comes out, for any names, sizes and contents; one gzip member, valid to its end."""
    with tempfile.TemporaryDirectory() as directory:
        root = app(Path(directory))
        for name, content in files.items():
            (root / name).write_bytes(content)
        content = packed(root)
        one_member = zlib.decompressobj(31)
        plain = one_member.decompress(content)
        assert one_member.eof
        assert not one_member.unused_data
        assert gzip.decompress(content) == plain
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            for name in files:
                found = tar.extractfile(name)
                assert found
                assert found.read() == (root / name).read_bytes()


def test_long_paths(tmp_path: Path) -> None:
    """Promise: paths beyond ustar's 255 octets survive."""
    deep = app(tmp_path)
    for _ in range(6):
        deep = deep / ("ü" * 60)
    deep.mkdir(parents=True)
    (deep / "f").write_text("x")
    assert str((deep / "f").relative_to(tmp_path)) in {m.name for m in members(packed(tmp_path))}


def test_limit_stops_early(tmp_path: Path) -> None:
    """Promise: a context over the limit is refused before all of it was read, with the limit and the largest files."""
    root = app(tmp_path)
    for number in range(40):
        (root / f"f{number:02}").write_bytes(os.urandom(1 << 20))
    read: list[int] = []
    with pytest.raises(InputError, match=r"limit of 1\.0 MiB.*The largest: f") as caught:
        pack(scan(root), max_bytes=1 << 20, progress=lambda done, total: read.append(done))
    assert caught.value.code == "context.too_large"
    assert read[-1] < 20 << 20


def test_progress_is_told_within_a_file(tmp_path: Path) -> None:
    """Promise: one big file moves the bar while it is packed; the end is told, of nothing, too."""
    root = app(tmp_path)
    (root / "big").write_bytes(bytes(5 << 20))
    told: list[tuple[int, int]] = []
    with pack(scan(root), max_bytes=LIMIT, progress=lambda done, total: told.append((done, total))):
        pass
    total = told[-1][1]
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len({done for done, _ in told}) > 5


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: the archive has no name while it exists, and mode 0600; nothing stays in the temporary directory."""
    temp = tmp_path / "tmp"
    temp.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    with pack(scan(app(tmp_path / "app")), max_bytes=LIMIT) as made:
        assert not list(temp.iterdir())
        info = os.fstat(made.file.fileno())
        assert info.st_mode & 0o777 == 0o600
        assert info.st_nlink == 0
    assert made.file.closed


def test_file_that_changes(tmp_path: Path) -> None:
    """Promise: a file that grew or shrank since the scan is named, never sent half."""
    root = app(tmp_path)
    for size in (1, 5):
        (root / "log").write_text("abc")
        context = scan(root)
        (root / "log").write_text("x" * size)
        with pytest.raises(InputError, match="log changed while it was packed"):
            pack(context, max_bytes=LIMIT)


def test_file_replaced_by_a_link(tmp_path: Path) -> None:
    """Promise: a file swapped for a link after the scan is not followed."""
    root = app(tmp_path)
    (root / "a").write_text("abc")
    context = scan(root)
    (root / "a").unlink()
    (root / "a").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="can't read a"):
        pack(context, max_bytes=LIMIT)


def test_stop(tmp_path: Path) -> None:
    """Promise: the work ends when it is told to."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        pack(scan(app(tmp_path)), max_bytes=LIMIT, stop=stop)


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a full disk is said with the place and what to do."""

    def full() -> io.FileIO:
        return io.FileIO("/dev/full", "r+")

    monkeypatch.setattr(archive, "_nameless_file", full)
    with pytest.raises(ClientError, match="TMPDIR"):
        pack(scan(app(tmp_path)), max_bytes=LIMIT)
