"""The depot builder passes the tests of every builder, on a real modern BuildKit, with a real registry."""

import pytest

from pkg.builders.contract import BuilderContract, ContentOf
from pkg.builders.depot.backend import DepotBuilder
from pkg.builders.port import Builder, BuiltImage
from pkg.registry.client import repository_of
from pkg.registry.testing import DockerRegistry


class TestDepotBuilder(BuilderContract):
    """All of the contract."""

    @pytest.fixture
    def builder(self, builder: DepotBuilder) -> Builder:
        return builder

    @pytest.fixture
    def content_of(self, registry: DockerRegistry) -> ContentOf:
        """The image in the index: the attestations beside it have times."""

        async def digest(image: BuiltImage) -> str:
            async with registry.client() as client:
                index = await client.manifest(repository_of(image.name), image.image_ref.digest)
                assert index is not None
                return str(index.children[0]["digest"])

        return digest
