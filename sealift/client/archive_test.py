"""The archive: deterministic, readable by anyone, bounded, and gone when it is closed."""

import gzip
import io
import os
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealift.client import archive
from sealift.client.archive import BLOCK_BYTES, Stopped, pack
from sealift.client.context import Context, scan
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
    """Promise: order of creation, owners and cores don't change the archive; packing it twice makes the same bytes."""
    one, two = app(tmp_path / "one"), app(tmp_path / "two")
    for name in ("a", "b", "c"):
        (one / name).write_bytes(name.encode() * 400_000)
    for name in ("c", "b", "a"):
        (two / name).write_bytes(name.encode() * 400_000)
        os.chown(two / name, 1234, 1234)
    for path in (*one.iterdir(), *two.iterdir()):
        os.utime(path, (1.5e9, 1.5e9))
    first = packed(one)
    assert packed(one) == first
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert packed(two) == first
    os.utime(two / "a", (1.6e9, 1.6e9))
    assert packed(two) != first


def test_headers_hold_modes_and_dates_and_nothing_else(tmp_path: Path) -> None:
    """Promise: modes as they are, dates to the second, plain headers; the owner is root; gzip has no time."""
    root = app(tmp_path)
    modes = {"run.sh": 0o750, ".pgpass": 0o600, "id": 0o400, "shared": 0o666, "suid": 0o4755, "uploads": 0o1777}
    for name, mode in modes.items():
        (root / name).mkdir() if name == "uploads" else (root / name).write_text("x")
        (root / name).chmod(mode)
    (root / "link").symlink_to("run.sh")
    for number, path in enumerate(sorted(root.iterdir())):
        os.chown(path, 1234, 1234, follow_symlinks=False)
        os.utime(path, (0, 1.5e9 + number + 0.7), follow_symlinks=False)
    for name, mode in modes.items():  # chown takes setuid away
        (root / name).chmod(mode)
    content = packed(root)
    assert content[4:8] == bytes(4)
    found = {m.name: m for m in members(content)}
    assert all((m.uid, m.gid, m.uname, m.gname, m.pax_headers) == (0, 0, "", "", {}) for m in found.values())
    assert {name: found[name].mode for name in modes} == modes
    names = sorted(found)
    assert {name: m.mtime for name, m in found.items()} == {n: 1_500_000_000 + i for i, n in enumerate(names)}
    assert found["link"].linkname == "run.sh"
    assert found["uploads"].isdir()


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
    """Promise: any names, sizes and contents round-trip; the archive is one valid gzip member."""
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
    with pytest.raises(InputError, match=r"limit of 1\.0 MiB.*The largest files: f") as caught:
        pack(scan(root), max_bytes=1 << 20, progress=lambda done, total: read.append(done))
    assert caught.value.code == "context.too_large"
    assert read[-1] < 20 << 20


def test_progress_is_told_within_a_file(tmp_path: Path) -> None:
    """Promise: progress is reported within a large file and at the end, even for an empty context."""
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
    """Promise: the archive is unlinked with mode 0600; nothing remains in the temporary directory."""
    temp = tmp_path / "tmp"
    temp.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    with pack(scan(app(tmp_path / "app")), max_bytes=LIMIT) as made:
        assert not list(temp.iterdir())
        info = os.fstat(made.file.fileno())
        assert info.st_mode & 0o777 == 0o600
        assert info.st_nlink == 0
    assert made.file.closed


def contents(root: Path, context: Context) -> dict[str, bytes]:
    with pack(context, max_bytes=LIMIT) as made:
        content = os.pread(made.file.fileno(), made.size_bytes, 0)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        return {m.name: found.read() for m in tar.getmembers() if (found := tar.extractfile(m))}


@pytest.mark.parametrize("now", ["a", "abcdef", ""])
def test_a_file_that_changed_since_the_scan(tmp_path: Path, now: str) -> None:
    """Promise: files written or replaced between scan and packing are packed with their new content."""
    root = app(tmp_path)
    (root / "log").write_text("abc")
    context = scan(root)
    (root / "log").write_text(now)
    assert contents(root, context)["log"] == now.encode()
    (root / "new").write_text(now * 2)
    (root / "new").replace(root / "log")
    assert contents(root, context)["log"] == now.encode() * 2


def change_while_packed(root: Path, how: Callable[[Path], None]) -> bytes:
    """Packs a file of several pieces; after the first one, `how` is done to it."""
    path = root / "log"
    path.write_bytes(os.urandom(3 * BLOCK_BYTES))
    once = [how]

    def progress(done: int, total: int) -> None:
        if once and done > 100:
            once.pop()(path)

    with pack(scan(root), max_bytes=LIMIT, progress=progress) as made:
        content = os.pread(made.file.fileno(), made.size_bytes, 0)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        found = tar.extractfile("log")
        assert found
        return found.read()


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def test_a_log_that_grows_while_it_is_packed(tmp_path: Path) -> None:
    """Promise: a file that is appended to is packed with its content at opening."""
    content = change_while_packed(app(tmp_path), append)
    assert (tmp_path / "log").read_bytes() == content + b"more"


def test_attributes_that_change_while_it_is_packed(tmp_path: Path) -> None:
    """Promise: changes of times alone (touch, chmod, an atomic replacement) are not an error."""
    for how in (Path.touch, lambda path: path.chmod(0o600), lambda path: path.unlink()):
        assert len(change_while_packed(app(tmp_path), how)) == 3 * BLOCK_BYTES


def _overwrite(path: Path) -> None:
    path.write_bytes(os.urandom(3 * BLOCK_BYTES))


@pytest.mark.parametrize(
    "how", [_overwrite, lambda path: os.truncate(path, 100), lambda path: path.write_bytes(os.urandom(4 * BLOCK_BYTES))]
)
def test_a_file_written_anew_while_it_is_packed(tmp_path: Path, how: Callable[[Path], None]) -> None:
    """Promise: mixed content is never sent: the file is reported."""
    with pytest.raises(InputError, match=r"log (was rewritten|was truncated) while it was packed") as caught:
        change_while_packed(app(tmp_path), how)
    assert caught.value.code == "context.changed"


def test_a_file_that_vanished(tmp_path: Path) -> None:
    """Promise: a removed file, or one replaced by a pipe, is reported without waiting for the pipe."""
    root = app(tmp_path)
    (root / "a").write_text("abc")
    context = scan(root)
    (root / "a").unlink()
    for how in ("was removed", "was replaced"):
        with pytest.raises(InputError, match=f"a {how}") as caught:
            pack(context, max_bytes=LIMIT)
        assert caught.value.code == "context.changed"
        if how == "was removed":
            os.mkfifo(root / "a")


def test_file_replaced_by_a_link(tmp_path: Path) -> None:
    """Promise: a file swapped for a link after the scan is not followed."""
    root = app(tmp_path)
    (root / "a").write_text("abc")
    context = scan(root)
    (root / "a").unlink()
    (root / "a").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="can't read a: it is a symbolic link now"):
        pack(context, max_bytes=LIMIT)


def test_stop(tmp_path: Path) -> None:
    """Promise: packing stops on request."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        pack(scan(app(tmp_path)), max_bytes=LIMIT, stop=stop)


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a full disk is reported with the directory and the next step."""

    def full() -> io.FileIO:
        return io.FileIO("/dev/full", "r+")

    monkeypatch.setattr(archive, "_unlinked_file", full)
    with pytest.raises(ClientError, match="TMPDIR"):
        pack(scan(app(tmp_path)), max_bytes=LIMIT)
