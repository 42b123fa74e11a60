import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pkg.config import ConfigError, ensure_key_file, read_secret_file, read_secret_text
from pkg.config.secret_files import MAX_SECRET_BYTES, ensure_secret_file


def test_key_is_made_once_with_mode_0600(tmp_path: Path) -> None:
    """Promise: the first start makes the key, every later one reads it; other users cannot."""
    path = tmp_path / "secrets" / "master.key"
    old = os.umask(0)
    try:
        key = ensure_key_file(path, 32)
    finally:
        os.umask(old)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert ensure_key_file(path, 32) == key == read_secret_file(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["master.key"]


def test_many_at_once_agree(tmp_path: Path) -> None:
    """Promise: processes that start together end up with the same key."""
    path = tmp_path / "key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: ensure_key_file(path, 32), range(32)))
    assert len(keys) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_wrong_length_is_not_replaced(tmp_path: Path) -> None:
    """Promise: a damaged key is reported, never overwritten by a new one."""
    path = tmp_path / "key"
    ensure_key_file(path, 16)
    with pytest.raises(ConfigError, match="16 bytes instead of 32"):
        ensure_key_file(path, 32)
    assert len(read_secret_file(path)) == 16


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_others_may_not_touch_it(tmp_path: Path, mode: int) -> None:
    """Promise: a secret that others can use is refused, with the command that helps."""
    path = tmp_path / "key"
    path.write_bytes(b"secret")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}.*chmod 600") as caught:
        read_secret_file(path)
    assert "secret\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the user of an image")
@pytest.mark.parametrize(
    ("owner", "group", "mode", "is_read"),
    [
        (0, 65532, 0o440, True),  # as Kubernetes mounts a Secret with fsGroup
        (0, 65532, 0o400, False),  # not readable at all
        (0, 65532, 0o444, False),
        (0, 65532, 0o460, False),
        (0, 1, 0o440, False),  # of a group that we are not in
        (65532, 65532, 0o440, False),  # ours: then nobody else needs to read it
        (65532, 65532, 0o400, True),
    ],
)
def test_a_mounted_secret(owner: int, group: int, mode: int, *, is_read: bool) -> None:
    """Promise: a process without root reads what Kubernetes mounts for its group, unless more users can read it."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        path = Path(folder) / "key"
        path.write_bytes(b"secret")
        path.chmod(mode)
        os.chown(path, owner, group)
        with as_user_of_an_image():
            if is_read:
                assert read_secret_file(path) == b"secret"
            else:
                with pytest.raises(ConfigError) as caught:
                    read_secret_file(path)
                assert caught.value.code == "config.secret_file"


@contextmanager
def as_user_of_an_image() -> Iterator[None]:
    """This process is user and group 65532 for the time."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(65532)
    os.seteuid(65532)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def test_what_is_no_secret_file(tmp_path: Path) -> None:
    """Promise: missing, empty, oversized and special files are refused and never block."""
    with pytest.raises(ConfigError, match="No such file"):
        read_secret_file(tmp_path / "none")
    with pytest.raises(ConfigError, match="not a regular file"):
        read_secret_file(tmp_path)
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_secret_file(tmp_path / "fifo")
    for size in (0, MAX_SECRET_BYTES + 1):
        path = tmp_path / "sized"
        path.touch(0o600)
        path.write_bytes(b"x" * size)
        with pytest.raises(ConfigError, match="allowed are 1 to"):
            read_secret_file(path)


def test_text_is_stripped_and_bytes_are_not(tmp_path: Path) -> None:
    """Promise: a token edited by hand works; a key that ends in a newline stays itself."""
    path = tmp_path / "token"
    assert ensure_secret_file(path, lambda: b"slk_abc\n") == b"slk_abc\n"
    assert read_secret_text(path) == "slk_abc"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_secret_text(path)
    path.write_bytes(b" \n")
    with pytest.raises(ConfigError, match="white space"):
        read_secret_text(path)
