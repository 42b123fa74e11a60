"""The buildkit builder passes the tests of every builder, on a real modern BuildKit with a real registry."""

from typing import Any

import pytest

from pkg.builders.buildkit.config import BuildkitConfig
from pkg.builders.buildkit.conftest import Build
from pkg.builders.contract import BuilderContract, ContentOf
from pkg.builders.port import Builder, BuiltImage
from pkg.builders.testing import SHELL, MemorySink, nonce
from pkg.buildkit.testing_front import Front
from pkg.registry.client import repository_of
from pkg.registry.testing import DockerRegistry


class TestOnASocket(BuilderContract):
    """All of the contract, on a unix socket."""

    @pytest.fixture
    def builder(self, front: Front, token_registry: DockerRegistry) -> Builder:
        return BuildkitConfig(address=front.address, sbom_scanner="").open(token_registry.config())

    @pytest.fixture
    def content_of(self, token_registry: DockerRegistry) -> ContentOf:
        """The image in the index: the attestations beside it have times."""

        async def digest(image: BuiltImage) -> str:
            async with token_registry.client() as client:
                index = await client.manifest(repository_of(image.name), image.image_ref.digest)
                assert index is not None
                return str(index.children[0]["digest"])

        return digest


async def test_behind_tls(tls: dict[str, Any], token_registry: DockerRegistry, build: Build) -> None:
    """Promise: TCP with mutual TLS carries a build and a push as a socket does."""
    builder = BuildkitConfig(**tls, sbom_scanner="").open(token_registry.config())
    sink, mark = MemorySink(), nonce()
    image = await build(f"{SHELL}RUN echo {mark}\n", sink, using=builder)
    assert (mark in sink.text, image.attestations) == (True, ("provenance",))
