"""Listing and deleting images on a real engine."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pkg.builders.docker.testing import EngineImages, engine_images
from pkg.builders.testing import engine_socket, nonce
from pkg.docker import EngineError
from pkg.docker.images import DockerImages
from pkg.images import StoredImage
from pkg.registry.testing import DockerRegistry


@pytest.fixture
async def ours() -> AsyncIterator[EngineImages]:
    async with engine_images() as images:
        yield images


@pytest.fixture
def store() -> DockerImages:
    return DockerImages(engine_socket())


def name() -> str:
    return f"sealift/test:{nonce()}"


async def only(store: DockerImages, ours: EngineImages) -> StoredImage:
    (found,) = await store.list_images(ours.installation_id)
    return found


async def test_only_images_of_the_installation_are_listed(store: DockerImages, ours: EngineImages) -> None:
    """Promise: what another installation on the same engine built is never seen, so never touched."""
    named, first, second = await ours.add(), name(), name()
    await ours.name(named, first)
    await ours.name(named, second)
    bare = await ours.add()
    async with engine_images() as others:
        theirs = await others.add(name())
        found = {image.image_ref: image for image in await store.list_images(ours.installation_id)}
        assert set(found) == {named, bare}
        assert set(found[named].names) == {first, second}
        assert found[bare].names == ()
        assert found[named].size_bytes > 0
        assert abs(found[named].created_at / 1000 - time.time()) < 60
        for image in found.values():
            assert await store.delete_image(image)
        assert await store.list_images(ours.installation_id) == []
        assert await others.has(theirs)


async def test_deleting_again_is_fine(store: DockerImages, ours: EngineImages) -> None:
    """A sweep that was killed is repeated: an image that is gone is no error."""
    await ours.add(name())
    image = await only(store, ours)
    assert await store.delete_image(image)
    assert await store.delete_image(image)


async def test_an_image_that_was_built_again_stays(store: DockerImages, ours: EngineImages) -> None:
    """The same content gives the same image: the new name of a build since the listing keeps it."""
    image_ref = await ours.add(name())
    image = await only(store, ours)
    await ours.name(image_ref, again := name())
    assert not await store.delete_image(image)
    assert (await only(store, ours)).names == (again,)


async def test_a_name_that_moved_on_is_left_alone(store: DockerImages, ours: EngineImages) -> None:
    """Another image under the listed name is another attempt's: it keeps the name, and the old one goes."""
    old = await ours.add(moving := name())
    image = await only(store, ours)
    new = await ours.add(moving)
    assert await store.delete_image(image)
    assert not await ours.has(old)
    left = await only(store, ours)
    assert (left.image_ref, left.names) == (new, (moving,))


async def test_an_image_of_a_container_stays(store: DockerImages, ours: EngineImages) -> None:
    """Nothing is forced: the engine refuses what even a stopped container was made of."""
    image_ref = await ours.add(name())
    await ours.contain(image_ref)
    assert not await store.delete_image(await only(store, ours))
    assert await ours.has(image_ref)


async def test_a_pulled_image_is_listed_with_its_digests_and_deleted(store: DockerImages, ours: EngineImages) -> None:
    """Promise: an image that was pulled, by digest alone or from two repositories, is listed as such and goes; one that
    has been pulled from a third since it was listed stays."""
    image_ref = await ours.add()
    with DockerRegistry() as registry:
        digests = [await ours.push(image_ref, f"{registry.host}/apps/{word}") for word in ("a", "b", "c")]
        await ours.clear()
        for count in (1, 2):
            for digest in digests[:count]:
                await ours.pull(digest)
            image = await only(store, ours)
            assert (image.image_ref, image.names, set(image.digests)) == (image_ref, (), set(digests[:count]))
            assert await store.delete_image(image)
            assert not await ours.has(image_ref)
        await ours.pull(digests[0])
        image = await only(store, ours)
        await ours.pull(digests[2])
        assert not await store.delete_image(image)
        assert set((await only(store, ours)).digests) == {digests[0], digests[2]}


async def test_no_engine(tmp_path: Path) -> None:
    """The error of an unreachable engine names its socket."""
    with pytest.raises(EngineError, match=r"no\.sock"):
        await DockerImages(tmp_path / "no.sock").list_images("inst_a")
