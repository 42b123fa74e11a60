"""What krane asks registries about images."""

import pytest

from pkg.images.config import Images
from pkg.registry.testing import DockerRegistry, push_image
from pkg.testing.kubernetes.images import busybox_image
from svc.krane.runtime.kubernetes.registry_images import ImageFacts, RegistryImages, facts_of


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        ({}, ImageFacts()),
        ({"ExposedPorts": None, "User": None}, ImageFacts()),
        ({"ExposedPorts": {"8080/tcp": {}, "53/udp": {}, "80": {}}}, ImageFacts((80, 8080))),
        ({"User": "1000:1000"}, ImageFacts((), True)),
        ({"User": "0"}, ImageFacts()),
        ({"User": "app"}, ImageFacts()),  # a name may be root's
    ],
)
def test_facts_of_a_configuration(config: dict[str, object], facts: ImageFacts) -> None:
    """Promise: only TCP ports count, and only a number says that an image does not run as root."""
    assert facts_of(config) == facts


async def test_a_tag_becomes_its_digest() -> None:
    """Promise: all instances run the same image although its tag moves; ports and user come with it."""
    with DockerRegistry() as registry:
        image = busybox_image("apps/a:1", "exit 0", ports=(3000,), user="1000")
        pushed = await push_image(registry, image)
        asked = RegistryImages((), Images())
        pinned = await asked.pinned(f"{registry.host}/apps/a:1")
        assert pinned == f"{registry.host}/apps/a@{pushed.rpartition('@')[2]}"
        assert await asked.facts(pinned) == ImageFacts((3000,), True)
        absent = f"{registry.host}/apps/none:1"
        assert await asked.pinned(absent) == absent


async def test_what_can_not_be_asked_is_pulled_as_it_is_named() -> None:
    """Promise: a registry that only nodes reach, and an image that only nodes have, hold nothing up."""
    asked = RegistryImages((), Images(allow_local=("tools/*",)))
    for name in ("127.0.0.1:9/a:1", "tools/base:1"):
        assert await asked.pinned(name) == name
        assert await asked.facts(name) == ImageFacts()
    digest = "sha256:" + "1" * 64
    assert await asked.pinned(f"127.0.0.1:9/a:1@{digest}") == f"127.0.0.1:9/a@{digest}"
