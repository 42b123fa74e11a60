"""What daemons can do is what they answer, not what their versions say."""

import json
from pathlib import Path

import aiohttp
import grpc
import grpc.aio
import pytest

from pkg.builders.testing import engine_socket
from pkg.buildkit.channel import ChannelLostError, engine_channel, unix_channel
from pkg.buildkit.features import Features, features
from pkg.buildkit.testing import Daemon
from pkg.buildkit.testing_daemon import BuildkitDaemon


def known(**fields: object) -> Features:
    given = {"version": "", "platforms": ("linux/amd64",), "pushes": True, "registry_cache": True, "attests": True}
    return Features(**given | fields)  # type: ignore[arg-type]


async def test_a_modern_daemon(buildkit_daemon: BuildkitDaemon) -> None:
    """Promise: all that it can do is found out, and nothing is made by it."""
    before = await images(buildkit_daemon)
    async with engine_channel(buildkit_daemon.socket) as channel:
        found = await features(channel)
    assert (found.pushes, found.registry_cache, found.attests, found.push_problem) == (True, True, True, "")
    assert found.platforms[0] in ("linux/amd64", "linux/arm64")
    assert found.version == ""  # Debian builds it without one
    assert await images(buildkit_daemon) == before


async def images(daemon: BuildkitDaemon) -> set[str]:
    connector = aiohttp.UnixConnector(path=str(daemon.socket))
    async with (
        aiohttp.ClientSession("http://docker", connector=connector) as http,
        http.get("/images/json", params={"all": "1"}) as answer,
    ):
        return {image["Id"] for image in await answer.json()}


async def test_the_engine_of_tests() -> None:
    """Promise: an engine with the classic store is told from one that pushes by BuildKit."""
    async with engine_channel(engine_socket()) as channel:
        found = await features(channel)
    connector = aiohttp.UnixConnector(path=str(engine_socket()))
    async with aiohttp.ClientSession("http://docker", connector=connector) as http, http.get("/info") as answer:
        is_containerd = "io.containerd" in json.dumps((await answer.json())["DriverStatus"])
    assert (found.pushes, found.registry_cache) == (is_containerd, is_containerd)
    assert ("exporter `image`" in found.push_problem) is not is_containerd


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("", "does not tell its version"),
        ("v0.17.3", "is v0.17.3"),
        ("0.9", "is 0.9"),
        ("v0.18.0", ""),
        ("v0.18.0-rc1", ""),
        ("v1.0.0+x", ""),
    ],
)
def test_which_daemons_keep_workspaces_apart(version: str, expected: str) -> None:
    """Promise: below 0.18, and where the version is not known, the reason says so."""
    problem = known(version=version).isolation_problem
    assert expected in problem
    assert bool(problem) is bool(expected)


async def test_the_version_that_a_daemon_tells(daemon: Daemon, channel: grpc.aio.Channel) -> None:
    """Promise: a buildkitd's version is known, and one without workers is told from one that is away."""

    daemon.version, daemon.has_worker = "v0.32.2", False
    daemon.subscribed.set()
    found = await features(channel)
    assert found.version == "v0.32.2"
    assert "no worker" in found.push_problem


async def test_a_daemon_that_is_away(tmp_path: Path) -> None:
    """Promise: the wait for it is bounded."""
    async with unix_channel(tmp_path / "none") as channel:
        with pytest.raises(ChannelLostError, match=r"not ready after 0\.3 s"):
            await features(channel, 0.3)
