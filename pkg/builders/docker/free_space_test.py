"""A build that copies on a disk that is nearly full is ended with the bound's name; commands are left alone."""

import asyncio
from pathlib import Path

import pytest

from pkg.builders.contract import spec
from pkg.builders.docker.backend import DockerBuilder
from pkg.builders.docker.free_space import CopyingSteps, FreeSpace
from pkg.builders.testing import MemorySink, engine_socket, nonce
from pkg.builds.failures import BuildFailed, FailureKind
from pkg.images import ImageRef
from pkg.storage.port import ObjectStore
from pkg.telemetry.events import BuildStep, StepState

FULL = FreeSpace(Path("/"), min_free_mib=1 << 40)
COPIES = "".join(f"COPY --from=0 /big /big-{number}\n" for number in range(40))


def step(name: str, state: StepState = StepState.STARTED) -> BuildStep:
    return BuildStep(step_id=name, name=name, state=state)


async def test_a_huge_copy_is_ended(store: ObjectStore, image_name: ImageRef) -> None:
    """COPY --from again and again, for real, on a disk that the setting calls full."""
    builder = DockerBuilder(engine_socket(), free_space=FULL)
    lines = f"RUN busybox dd if=/dev/zero of=/big bs=1M count=400 && : {nonce()}\nFROM scratch\n{COPIES}"
    with pytest.raises(BuildFailed) as caught:
        await builder.build(await spec(store, image_name, lines), MemorySink())
    assert caught.value.kind is FailureKind.DISK_LIMIT
    assert "COPY --from=0" in caught.value.message
    assert "[builds] min_free_mib" in caught.value.message


async def test_commands_and_short_copies_go_on(store: ObjectStore, image_name: ImageRef) -> None:
    """A command's writes are the supervisor's to bound."""
    builder = DockerBuilder(engine_socket(), free_space=FULL)
    await builder.build(await spec(store, image_name, f"RUN busybox sleep 3 && : {nonce()}\n"), MemorySink())


async def test_which_steps_copy() -> None:
    """COPY, ADD, FROM and the context while they run; a bound that is not known bounds nothing."""
    copying = CopyingSteps()
    for name in ("[2/3] RUN COPY", "[stage-1 2/3] COPY a /b", "[internal] load remote build context"):
        copying.note(step(name))
    copying.note(step("[internal] load remote build context", StepState.COMPLETED))
    assert list(copying.names) == ["[stage-1 2/3] COPY a /b"]
    assert FreeSpace().lacking() is None
    assert FreeSpace(Path("/nowhere"), 1).lacking() is None
    assert FreeSpace(Path("/"), 1).lacking() is None
    assert await FreeSpace().hold(asyncio.sleep(0, "done"), copying) == "done"
