"""Where logins are stored, and who can read them."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sealift.client.credentials import login_file
from sealift.client.errors import AuthError
from sealift.client.logins import MAX_LOGINS, Login, LoginFile


def test_only_the_user_can_read_it(tmp_path: Path) -> None:
    """Promise: file and folders are private whatever the umask; nothing else is left beside the file."""
    before = os.umask(0)
    try:
        login_file({}, tmp_path).put(Login("https://x", "slk_x"))
    finally:
        os.umask(before)
    path = tmp_path / ".config/sealift/servers.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {one.name for one in path.parent.iterdir()} == {"servers.json", "servers.lock"}


def test_xdg_folder(tmp_path: Path) -> None:
    """Promise: XDG_CONFIG_HOME is respected; a relative one is ignored, as XDG asks."""
    assert login_file({"XDG_CONFIG_HOME": "/x"}, tmp_path).path == Path("/x/sealift/servers.json")
    assert login_file({"XDG_CONFIG_HOME": "x"}, tmp_path).path == tmp_path / ".config/sealift/servers.json"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_open_file_is_refused(tmp_path: Path, mode: int) -> None:
    """Promise: a file that others can read is refused with the chmod command, for reading and for writing."""
    logins = LoginFile(tmp_path)
    logins.put(Login("https://x", "slk_x"))
    logins.path.chmod(mode)
    for act in (logins.read, lambda: logins.put(Login("https://y", "slk_y"))):
        with pytest.raises(AuthError, match=f"chmod 600 {logins.path}"):
            act()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"servers": 1}', '{"servers": [{"url": "x", "key": "k"}]}', "[" * 9999]
)
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    """Promise: a damaged file is reported without its content, and not replaced by a login."""
    logins = LoginFile(tmp_path)
    logins.path.write_text(text)
    logins.path.chmod(0o600)
    with pytest.raises(AuthError, match="is damaged"):
        logins.put(Login("https://x", "slk_x"))
    assert logins.path.read_text() == text


def test_several_at_once(tmp_path: Path) -> None:
    """Promise: logins at the same moment are all kept, up to the limit."""
    logins = LoginFile(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(lambda n: logins.put(Login(f"https://s{n}.example", f"slk_{n}")), range(24)):
            pass
    assert {one.key for one in logins.read()} == {f"slk_{n}" for n in range(24)}
    for number in range(MAX_LOGINS + 1):
        logins.put(Login(f"https://t{number}.example", "slk_t"))
    assert len(logins.read()) == MAX_LOGINS


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    """Promise: a login that is killed at any moment leaves the file whole, and no lock behind."""
    logins = LoginFile(tmp_path)
    logins.put(Login("https://x", "slk_x"))
    kill_in_replace = (
        "import os, signal, sys; from pathlib import Path; from sealift.client.logins import Login, LoginFile;"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "LoginFile(Path(sys.argv[1])).put(Login('https://y', 'slk_y'))"
    )
    done = subprocess.run([sys.executable, "-c", kill_in_replace, tmp_path], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -9
    assert [one.key for one in logins.read()] == ["slk_x"]
    logins.put(Login("https://z", "slk_z"))
    assert [one.key for one in logins.read()] == ["slk_z", "slk_x"]


def test_repr_hides_the_key() -> None:
    """Promise: a login in a log line or traceback does not show its key."""
    assert "slk_" not in repr(Login("https://x", "slk_x"))
