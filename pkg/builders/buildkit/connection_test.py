"""What is wrong with the way to a buildkitd is said precisely, at the start and when a build fails by it."""

import asyncio
import platform
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pkg.builders.buildkit.config import BuildkitConfig
from pkg.builders.buildkit.conftest import Build
from pkg.builders.settings import BuilderSections
from pkg.builders.testing import SHELL, engine_socket
from pkg.buildkit import engine_channel, features
from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.buildkit.testing_front import SERVER_NAME, mtls_front, unix_front
from pkg.builds.failures import BuilderUnavailable, FailureKind
from pkg.config import Secret
from pkg.registry import RegistryConfig
from pkg.registry.testing import PULLER, DockerRegistry
from pkg.testing.certificates import Authority
from pkg.testing.wait import WAIT_S

REGISTRY = RegistryConfig(url="127.0.0.1:9/apps", password=Secret("x"))


async def problem(config: BuildkitConfig) -> str:
    with pytest.raises(BuilderUnavailable) as caught:
        await asyncio.wait_for(config.open(REGISTRY).check(), WAIT_S)
    assert caught.value.kind is FailureKind.BUILDER_LOST
    return caught.value.message


async def test_sockets(tmp_path: Path) -> None:
    """Promise: no socket, no listener, no socket at all: each is named with the path."""
    path = tmp_path / "buildkitd.sock"
    config = BuildkitConfig(address=f"unix://{path}")
    assert f"there is no {path}" in await problem(config)
    path.write_text("")
    assert f"{path} is no socket" in await problem(config)
    path.unlink()
    (await asyncio.start_unix_server(lambda *_: None, path)).close()
    assert f"nothing answers on {path}" in await problem(config)


async def test_files(tls: dict[str, Any], tmp_path: Path) -> None:
    """Promise: a file that is missing, empty, or of another key is named with its key."""
    none, empty = tmp_path / "none.pem", tmp_path / "empty.pem"
    empty.touch()
    _, other = Authority().issue("other").write(tmp_path, "other")
    for key in ("ca_file", "cert_file", "key_file"):
        assert f"{key} {none} can't be read: there is no such file" in await problem(
            BuildkitConfig(**tls | {key: none})
        )
    assert f"ca_file {empty} has no certificate in it" in await problem(BuildkitConfig(**tls | {"ca_file": empty}))
    assert f"cert_file {empty} has no certificate in it" in await problem(BuildkitConfig(**tls | {"cert_file": empty}))
    assert f"key_file {other} is not the key of the certificate" in await problem(
        BuildkitConfig(**tls | {"key_file": other})
    )


async def test_certificates(tls: dict[str, Any], tmp_path: Path) -> None:
    """Promise: another name, another authority, and a refused client are told from each other."""
    assert "is not for 'another.test': set server_name" in await problem(
        BuildkitConfig(**tls | {"server_name": "another.test"})
    )
    assert "is not for '127.0.0.1'" in await problem(BuildkitConfig(**tls | {"server_name": ""}))
    stranger = Authority("stranger")
    (tmp_path / "stranger.pem").write_bytes(stranger.pem)
    assert f"ca_file {tmp_path}/stranger.pem must be" in await problem(
        BuildkitConfig(**tls | {"ca_file": tmp_path / "stranger.pem"})
    )
    cert, key = stranger.issue("worker").write(tmp_path, "strange")
    refused = await problem(BuildkitConfig(**tls | {"cert_file": cert, "key_file": key}))
    assert f"does not accept the certificate {cert}" in refused
    assert "--tlscacert" in refused


@pytest.fixture
async def deaf() -> AsyncIterator[str]:
    """A server without TLS."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


async def test_servers(tls: dict[str, Any], deaf: str) -> None:
    """Promise: nobody there, no TLS there, and no such name are told from each other."""
    assert "nothing listens on 127.0.0.1:9" in await problem(BuildkitConfig(**tls | {"address": "tcp://127.0.0.1:9"}))
    assert f"{deaf} does not speak TLS" in await problem(BuildkitConfig(**tls | {"address": f"tcp://{deaf}"}))
    assert "'buildkit.invalid' can't be resolved" in await problem(
        BuildkitConfig(**tls | {"address": "tcp://buildkit.invalid:1234"})
    )


async def test_an_account_that_may_not_push(tls: dict[str, Any], token_registry: DockerRegistry) -> None:
    """Promise: the check tries the account, and a registry that is away is told from a daemon that is."""
    config = BuildkitConfig(**tls)
    await config.open(token_registry.config()).check()
    with pytest.raises(BuilderUnavailable, match=r"build\.push_registry_away.*127\.0\.0\.1:9/apps.* can't be reached"):
        await config.open(REGISTRY).check()
    puller = RegistryConfig(url=f"{token_registry.host}/apps", username=PULLER.username, password=PULLER.password)
    with pytest.raises(BuilderUnavailable, match=r"build\.push_denied"):
        await config.open(puller).check()


async def test_a_platform_without_a_worker(tls: dict[str, Any], token_registry: DockerRegistry) -> None:
    """Promise: the operator's platform is compared with what the daemon builds for."""
    await BuildkitConfig(**tls).open(token_registry.config()).check()
    foreign = "linux/arm64" if platform.machine() == "x86_64" else "linux/amd64"
    assert f"no worker for {foreign}; it builds for linux/" in await problem(BuildkitConfig(**tls, platform=foreign))


async def test_a_daemon_that_does_not_push(tmp_path: Path) -> None:
    """Promise: a BuildKit without the exporter that pushes, as in engines with the classic store, is refused."""
    async with unix_front(engine_socket(), tmp_path / "front.sock") as front:
        config = BuildkitConfig(address=front.address)
        async with engine_channel(engine_socket()) as channel:
            is_able = (await features(channel)).pushes
        assert is_able or "no exporter `image`" in await problem(config)


async def test_a_build_says_it_too(build: Build, tmp_path: Path) -> None:
    """Promise: a build that finds no daemon says why, and is retried."""
    away = BuildkitConfig(address=f"unix://{tmp_path}/none.sock").open(REGISTRY)
    with pytest.raises(BuilderUnavailable, match=rf"there is no {tmp_path}/none\.sock"):
        await asyncio.wait_for(build(SHELL, using=away), WAIT_S)


async def test_new_certificates_need_no_restart(
    buildkit_daemon: BuildkitDaemon, tls: dict[str, Any], token_registry: DockerRegistry, tmp_path: Path
) -> None:
    """Promise: files that were replaced count from the next connection on."""
    registry = token_registry.config()
    builder = BuildkitConfig(**tls).open(registry)
    await builder.check()
    authority = Authority("next")
    async with mtls_front(buildkit_daemon.socket, authority.issue(SERVER_NAME), authority.pem, tmp_path) as moved:
        builder = BuildkitConfig(**tls | {"address": moved.address}).open(registry)
        with pytest.raises(BuilderUnavailable):
            await builder.check()
        tls["ca_file"].write_bytes(authority.pem)
        authority.issue("worker").write(tmp_path, "worker")
        await builder.check()


def test_the_section(tmp_path: Path) -> None:
    """Promise: what is missing or does not fit is told at once, and a registry is required."""
    wrong = BuildkitConfig(address="tcp://buildkit.example.com:1234", cert_file=Path("c")).problems()
    assert [line.partition(":")[0] for line in wrong] == ["ca_file", "key_file"]
    assert BuildkitConfig(address="unix://run/b.sock", key_file=Path("k"), server_name="x").problems() == [
        "address: expected unix:// and an absolute path, got 'unix://run/b.sock'",
        "key_file: a unix socket has no TLS; leave it out, or use tcp://host:port",
        "server_name: a unix socket has no TLS; leave it out, or use tcp://host:port",
    ]
    assert "address: expected unix:///path or tcp://host:port" in BuildkitConfig(address="b:1").problems()[0]
    assert "sbom_scanner" in BuildkitConfig(address="unix:///b", sbom_scanner="No Image").problems()[0]
    good = BuildkitConfig(address="unix:///run/b.sock")
    assert good.problems() == []
    assert 'backend = "buildkit" pushes every image' in good.problems_beside(BuilderSections())[0]
    assert good.problems_beside(BuilderSections(registry=REGISTRY)) == []
