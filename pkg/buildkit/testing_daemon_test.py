"""The modern BuildKit of tests answers as other daemons do, and nothing of it stays."""

import subprocess
from pathlib import Path

import pytest

from pkg.buildkit.channel import ChannelLostError, engine_channel, mtls_channel, unix_channel, wait_ready
from pkg.buildkit.testing_daemon import BuildkitDaemon, part
from pkg.buildkit.testing_front import SERVER_NAME, mtls_front, unix_front
from pkg.testing.certificates import Authority
from pkg.testing.parts import PartMissingError


async def test_the_same_daemon_on_three_ways(buildkit_daemon: BuildkitDaemon, tmp_path: Path) -> None:
    """Promise: the engine's own API, a unix socket and TCP with mutual TLS lead to one BuildKit."""
    authority = Authority()
    client = authority.issue("client")
    async with (
        engine_channel(buildkit_daemon.socket) as engine,
        unix_front(buildkit_daemon.socket, tmp_path / "s") as by_unix,
        mtls_front(buildkit_daemon.socket, authority.issue(SERVER_NAME), authority.pem, tmp_path) as by_tls,
        unix_channel(Path(by_unix.address.removeprefix("unix://"))) as unix,
        mtls_channel(
            by_tls.address, server_name=SERVER_NAME, ca=authority.pem, key=client.key, cert=client.cert
        ) as tls,
    ):
        platforms = [await wait_ready(channel, 10) for channel in (engine, unix, tls)]
        assert platforms[0]
        assert platforms[0] == platforms[1] == platforms[2]
        await by_tls.vanish()
        with pytest.raises(ChannelLostError):
            await wait_ready(tls, 1)


def test_nothing_stays_of_a_run() -> None:
    """Promise: processes, the bridge and files are gone after a run."""
    daemon = BuildkitDaemon(data_mib=64)
    daemon.start()
    mounted = "/proc/mounts"
    try:
        running = [path for path in Path("/proc").glob("[0-9]*") if str(daemon.folder) in _command_line(path)]
        assert running
    finally:
        daemon.stop()
    assert not daemon.folder.exists()
    assert str(daemon.folder) not in Path(mounted).read_text()
    assert not any(str(daemon.folder) in _command_line(path) for path in running)
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, check=True, text=True).stdout
    assert daemon._bridge not in links


def test_a_part_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Promise: tests without their part fail and say how to get it."""
    monkeypatch.setenv("SEALIFT_PARTS_DIR", str(tmp_path))
    with pytest.raises(PartMissingError, match=r"run dev/parts/buildkit\.sh"):
        part()


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text(errors="replace")
    except OSError:  # it has ended
        return ""
