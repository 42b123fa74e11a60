"""The state directory is private, held by one stack, and short enough for sockets."""

import os
from pathlib import Path

import pytest

from svc.standalone.errors import StartupError
from svc.standalone.process import identify, write_pidfile
from svc.standalone.statedir import StateDir


def test_everything_below_is_private(tmp_path: Path) -> None:
    """Keys and data are for this user only."""
    state = StateDir(tmp_path / "s")
    state.prepare()
    state.prepare()
    for path in (state.root, state.run, state.logs, state.secrets, state.objects, state.restate):
        assert path.stat().st_mode & 0o777 == 0o700


def test_second_stack_is_refused_and_told_who(tmp_path: Path) -> None:
    """Two supervisors never share a database; the message names the first."""
    state = StateDir(tmp_path / "s")
    state.prepare()
    held = state.lock()
    me = identify(os.getpid())
    assert me
    write_pidfile(state.pidfile("supervisor"), me)
    with pytest.raises(StartupError, match=f"process {os.getpid()}"):
        state.lock()
    os.close(held)
    os.close(state.lock())


def test_open_directory_is_refused(tmp_path: Path) -> None:
    """A directory others can read is not silently made private: someone may have read the keys."""
    (tmp_path / "s").mkdir(mode=0o755)
    with pytest.raises(StartupError, match="chmod 700"):
        StateDir(tmp_path / "s").prepare()


def test_long_path_is_refused_by_name() -> None:
    """The kernel's limit of socket paths is reported before something fails to listen."""
    with pytest.raises(StartupError, match="--state-dir"):
        StateDir(Path("/tmp") / ("x" * 100)).prepare()
