"""The calls on a real engine, and the errors when none answers."""

from pathlib import Path

import pytest

from pkg.builders.docker.testing import EngineImages, engine_images
from pkg.builders.testing import engine_socket
from pkg.docker import Engine, EngineError, EngineRefusedError
from pkg.images import INSTALLATION_LABEL


async def test_what_carries_the_label_is_found_and_removed() -> None:
    """Promise: only containers with exactly the label are removed, and repeating it is fine."""
    engine = Engine(engine_socket())
    async with engine_images() as ours, engine_images() as others:
        mine = await _contained(ours)
        theirs = await _contained(others)
        label = f"{INSTALLATION_LABEL}={ours.installation_id}"
        assert [one["Id"] for one in await engine.containers(label)] == [mine]
        assert await engine.remove_containers(label) == 1
        assert await engine.remove_containers(label) == 0
        assert theirs in [one["Id"] for one in await engine.containers()]


async def _contained(images: EngineImages) -> str:
    return await images.contain(await images.add())


async def test_an_engine_says_who_it_is() -> None:
    """Versions are read, a missing object is None, and a refusal quotes the engine's message."""
    engine = Engine(engine_socket())
    assert await engine.is_answering()
    assert (await engine.version())["ApiVersion"]
    assert await engine.image("sealift/none:none") is None
    assert await engine.networks("sealift.installation=none") == []
    with pytest.raises(EngineRefusedError, match=r"answered 400 to GET /images/UPPER.*: invalid reference") as refused:
        await engine.image("UPPER")
    assert refused.value.status == 400


async def test_no_engine_is_said_with_its_socket(tmp_path: Path) -> None:
    """The error names the socket and is an OSError."""
    engine = Engine(tmp_path / "none.sock")
    assert not await engine.is_answering()
    with pytest.raises(EngineError, match=r"none\.sock does not answer") as away:
        await engine.containers()
    assert isinstance(away.value, OSError)
