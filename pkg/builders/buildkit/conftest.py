"""Fixtures: a modern BuildKit behind a socket and behind TLS, a registry that it pushes to, and a way to build."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from pkg.builders.buildkit.backend import BuildkitBuilder
from pkg.builders.buildkit.config import BuildkitConfig
from pkg.builders.port import BuildSpec, BuiltImage
from pkg.builders.testing import MemorySink, context, context_at, nonce
from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.buildkit.testing_front import SERVER_NAME, Front, mtls_front, unix_front
from pkg.ids import new_id
from pkg.images import ImageRef, build_image
from pkg.registry.testing import DockerRegistry
from pkg.storage.disk import DiskStore
from pkg.storage.disk.testing import served
from pkg.storage.testing import put
from pkg.testing.certificates import Authority

Build: TypeAlias = Callable[..., Coroutine[None, None, BuiltImage]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    async with served(tmp_path / "objects") as disk:
        yield disk


@pytest.fixture(scope="session")
def token_registry() -> Iterator[DockerRegistry]:
    """It wants tokens, which its token server gives to those who log in."""
    with DockerRegistry(login="token") as registry:
        yield registry


@pytest.fixture(scope="session")
def basic_registry() -> Iterator[DockerRegistry]:
    with DockerRegistry(login="basic") as registry:
        yield registry


@pytest.fixture(scope="session")
def open_registry() -> Iterator[DockerRegistry]:
    """Whoever asks may do everything there."""
    with DockerRegistry() as registry:
        yield registry


@pytest.fixture
async def front(buildkit_daemon: BuildkitDaemon, tmp_path: Path) -> AsyncIterator[Front]:
    """The daemon on a unix socket."""
    async with unix_front(buildkit_daemon.socket, tmp_path / "buildkitd.sock") as opened:
        yield opened


@pytest.fixture
async def tls(buildkit_daemon: BuildkitDaemon, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """The daemon behind mutual TLS, as the keys of a configuration."""
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    cert, key = authority.issue("worker").write(tmp_path, "worker")
    server = authority.issue(SERVER_NAME)
    async with mtls_front(buildkit_daemon.socket, server, authority.pem, tmp_path) as opened:
        yield {
            "address": opened.address, "server_name": SERVER_NAME, "ca_file": tmp_path / "ca.pem",
            "cert_file": cert, "key_file": key,
        }  # fmt: skip


@pytest.fixture
def builder(front: Front, token_registry: DockerRegistry) -> BuildkitBuilder:
    """Without SBOMs: there is no scanner to pull."""
    return BuildkitConfig(address=front.address, sbom_scanner="").open(token_registry.config())


@pytest.fixture
def image_name(token_registry: DockerRegistry) -> ImageRef:
    return build_image(new_id("proj"), new_id("bld"), token_registry.config().url)


@pytest.fixture
def build(builder: BuildkitBuilder, store: DiskStore, image_name: ImageRef) -> Build:
    """Packs the files, uploads them, builds. Keywords go into the spec; `using` is another builder."""

    async def run(
        files: Mapping[str, bytes | str] | str,
        sink: MemorySink | None = None,
        *,
        using: BuildkitBuilder | None = None,
        **fields: Any,
    ) -> BuiltImage:
        path = f"contexts/proj_a/{nonce()}.tar.gz"
        await put(store, path, context({"Dockerfile": files} if isinstance(files, str) else files))
        given: dict[str, Any] = {
            "project_id": "proj_a", "build_id": "bld_a", "attempt": 1, "image_name": image_name, "timeout_s": 90,
            "sign_context_url": context_at(store.presign_get(path, ttl_s=60)),
        }  # fmt: skip
        return await (using or builder).build(BuildSpec(**(given | fields)), sink or MemorySink())

    return run
