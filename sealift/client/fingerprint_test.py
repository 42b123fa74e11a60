"""Whether a tree is the one that was packed before."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sealift.client.context import Context, scan
from sealift.client.fingerprint import SETTLED_AFTER_NS, fingerprint, is_settled

ROUNDS = 150


def make(root: Path) -> Path:
    """A tree with something of each kind."""
    for number in range(6):
        path = root / f"dir{number % 3}" / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (number * 10))
    (root / "Dockerfile").write_text("FROM scratch\n")
    (root / ".dockerignore").write_text("ignored\n*.log\n")
    (root / "link").symlink_to("dir0")
    return root


def _rewrite(root: Path, chance: random.Random) -> None:
    path = _some_file(root, chance)
    path.write_bytes(chance.randbytes(path.stat().st_size or 1))


def _keep_the_mtime(root: Path, chance: random.Random) -> None:
    path = _some_file(root, chance)
    before = path.stat()
    path.write_bytes(chance.randbytes(before.st_size or 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _grow(root: Path, chance: random.Random) -> None:
    with _some_file(root, chance).open("ab") as file:
        file.write(b"y")


def _swap(root: Path, chance: random.Random) -> None:
    path = _some_file(root, chance)
    twin = root / "dir0" / "twin"
    shutil.copy2(path, twin)  # same size and mtime
    twin.replace(path)


def _rename(root: Path, chance: random.Random) -> None:
    path = _some_file(root, chance)
    path.rename(path.with_name(f"{path.name}{chance.randrange(10**9)}"))


def _chmod(root: Path, chance: random.Random) -> None:
    path = _some_file(root, chance)
    path.chmod(path.stat().st_mode ^ 0o100)


def _add(root: Path, chance: random.Random) -> None:
    (root / "dir1" / f"new{chance.randrange(10**9)}").touch()


def _add_directory(root: Path, chance: random.Random) -> None:
    (root / f"empty{chance.randrange(10**9)}").mkdir()


def _relink(root: Path, chance: random.Random) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to(f"dir1/nowhere{chance.randrange(10**9)}")


def _replace_by_directory(root: Path, chance: random.Random) -> None:
    path = _some_file(root, chance)
    path.unlink()
    path.mkdir()
    (path / "file0").touch()


def _some_file(root: Path, chance: random.Random) -> Path:
    return chance.choice(sorted(path for path in (root / "dir1").rglob("file*") if path.is_file()))


CHANGES: list[Callable[[Path, random.Random], None]] = [
    _rewrite, _keep_the_mtime, _grow, _swap, _rename, _chmod, _add, _add_directory, _relink, _replace_by_directory,
]  # fmt: skip


def test_any_change_shows(tmp_path: Path) -> None:
    """Promise: every ordinary change of a tree gives a new fingerprint."""
    root, chance = make(tmp_path), random.Random(20_265)
    seen = {fingerprint(scan(root))}
    for number in range(ROUNDS):
        change = chance.choice(CHANGES)
        if not any(path.is_file() for path in (root / "dir1").rglob("file*")):
            (root / "dir1" / f"file{number}").write_bytes(b"again")
        _leave_the_tick(root)
        change(root, chance)
        now = fingerprint(scan(root))
        assert now not in seen, (number, change.__name__)
        seen.add(now)


def _leave_the_tick(root: Path) -> None:
    """Pass the file system's current tick, in which two changes would look like one: what `is_settled` is for."""
    probe = root / "ignored"
    probe.touch()
    before = probe.stat().st_mtime_ns
    while probe.stat().st_mtime_ns == before:
        probe.touch()


def test_the_same_tree_has_the_same_fingerprint(tmp_path: Path) -> None:
    """Promise: scanning again, reading, and changes of excluded files don't change the fingerprint."""
    root = make(tmp_path)
    before = fingerprint(scan(root))
    (root / "dir1" / "file1").read_bytes()
    (root / "ignored").mkdir()
    (root / "ignored" / "output").write_text("built")
    (root / "dir1" / "build.log").touch()
    (root / "dir1" / "build.log").unlink()
    assert fingerprint(scan(root)) == before


def test_names_that_run_into_each_other_are_told_apart(tmp_path: Path) -> None:
    """Promise: no file name gives two trees the same fingerprint."""
    odd = ["a\n", "a\\n", "a b", "a", "\udcff", "é", "e\u0301"]
    found: set[str] = set()
    for name in odd:
        root = tmp_path / str(len(found))
        root.mkdir()
        (root / "Dockerfile").touch()
        (root / "link").symlink_to(name)
        found.add(fingerprint(_unstamped(scan(root))))
    assert len(found) == len(odd)


def _unstamped(context: Context) -> Context:
    return replace(context, entries=tuple(replace(entry, stamp=None) for entry in context.entries))


@pytest.mark.parametrize(
    ("age_ns", "settled"), [(SETTLED_AFTER_NS + 10**9, True), (SETTLED_AFTER_NS - 1, False), (-(10**12), False)]
)
def test_a_tree_is_settled_when_its_clock_has_moved_on(tmp_path: Path, age_ns: int, settled: bool) -> None:
    """Promise: a file written just before the scan, or in the future, is not settled."""
    context = scan(make(tmp_path))
    latest = max(max(entry.stamp.mtime_ns, entry.stamp.ctime_ns) for entry in context.entries if entry.stamp)
    assert is_settled(replace(context, scanned_at_ns=latest + age_ns)) is settled


def test_a_time_set_back_settles_nothing(tmp_path: Path) -> None:
    """Promise: an old mtime, as from `cp -p` and `tar`, does not hide a recent write."""
    root = make(tmp_path)
    for path in root.rglob("*"):
        os.utime(path, (0, 0), follow_symlinks=False)
    assert not is_settled(scan(root))
