"""What builds keep from earlier ones, and what they keep apart."""

import asyncio

import pytest

from pkg.builders.buildkit.backend import BuildkitBuilder
from pkg.builders.buildkit.config import BuildkitConfig
from pkg.builders.buildkit.conftest import Build
from pkg.builders.pushing import CACHE_TAG
from pkg.builders.testing import SHELL, MemorySink, nonce
from pkg.buildkit.testing_daemon import BuildkitDaemon
from pkg.buildkit.testing_front import unix_front
from pkg.ids import new_id
from pkg.images import ImageRef, build_image
from pkg.registry.client import repository_of
from pkg.registry.testing import DockerRegistry
from pkg.telemetry.events import StepState


def ran(sink: MemorySink) -> list[str]:
    """The steps of the Dockerfile that were not cached."""
    return [
        step.name for step in sink.last_steps.values() if step.name.startswith("[") and "internal" not in step.name
        and step.state is not StepState.CACHED
    ]  # fmt: skip


async def test_a_redeploy_without_a_change(build: Build, image_name: ImageRef, token_registry: DockerRegistry) -> None:
    """Promise: every step comes from the cache, and no step of the timeline has failed, not even of the first build."""
    dockerfile = f"{SHELL}RUN echo {nonce()} >/made\nRUN echo again\n"
    first, second = MemorySink(), MemorySink()
    await build(dockerfile, first)
    await build(dockerfile, second, image_name=ImageRef(image_name.repository, "next"))
    assert ran(first)
    assert ran(second) == []
    assert {step.state for step in (*first.steps, *second.steps)}.isdisjoint({StepState.FAILED, StepState.CANCELLED})
    async with token_registry.client() as client:
        assert CACHE_TAG in await client.tags(repository_of(image_name))


async def test_another_daemon_goes_on_from_the_registry(
    build: Build, image_name: ImageRef, token_registry: DockerRegistry
) -> None:
    """Promise: what one daemon has built, a new one takes from the registry, steps of intermediate stages included."""
    stages = f"{SHELL.replace('scratch', 'scratch AS made')}RUN echo {nonce()} >/made\n"
    dockerfile = f"{stages}FROM scratch\nCOPY --from=made /made /made\n"
    await build(dockerfile)
    other = BuildkitDaemon()
    try:
        await asyncio.to_thread(other.start)
        async with unix_front(other.socket, other.folder / "front.sock") as front:
            builder = BuildkitConfig(address=front.address, sbom_scanner="").open(token_registry.config())
            sink, again = MemorySink(), MemorySink()
            await build(dockerfile, sink, using=builder)
            assert ran(sink) == []
            await build(dockerfile, again, using=builder, no_cache=True)
            assert len(ran(again)) == 4
    finally:
        await asyncio.to_thread(other.stop)


async def test_cache_mounts(build: Build, image_name: ImageRef, token_registry: DockerRegistry) -> None:
    """Promise: a cache mount is kept for its project, is empty for others, and empty again without the cache."""

    async def kept(name: ImageRef, **fields: bool) -> list[str]:
        sink = MemorySink()
        mark = nonce()
        run = f"RUN --mount=type=cache,target=/kept echo kept $(busybox ls /kept); echo >/kept/{mark}\n"
        await build(SHELL + run.replace("echo kept", f"echo {mark} kept"), sink, image_name=name, **fields)
        return next(line for _, _, line in sink.lines if " kept" in line).split()[2:]

    other = build_image(new_id("proj"), new_id("bld"), token_registry.config().url)
    assert await kept(image_name) == []
    assert len(await kept(image_name)) == 1
    assert await kept(other) == []
    assert await kept(image_name, no_cache=True) == []


@pytest.mark.parametrize("named", ["BUILDKIT_CACHE_MOUNT_NS"])
async def test_a_build_argument_chooses_no_other_cache(
    build: Build, builder: BuildkitBuilder, image_name: ImageRef, token_registry: DockerRegistry, named: str
) -> None:
    """Promise: no build argument leads to the cache mounts of another project."""
    other = build_image(new_id("proj"), new_id("bld"), token_registry.config().url)
    run = "RUN --mount=type=cache,target=/kept "
    await build(f"{SHELL}{run}echo >/kept/{nonce()}\n", image_name=other)
    sink = MemorySink()
    listing = f"{SHELL}{run}: {nonce()}; echo files: $(busybox ls /kept)\n"
    await build(listing, sink, build_args={named: other.repository})
    assert "files:" in sink.text.splitlines()
