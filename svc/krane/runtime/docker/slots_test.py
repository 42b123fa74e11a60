import asyncio

from pkg.testing.wait import WAIT_S
from svc.krane.runtime.docker.slots import StartSlots
from svc.krane.testing.harness import eventually


async def test_starts_that_hang_do_not_hold_up_what_serves() -> None:
    """A live instance's restart never waits behind the hanging starts of others."""
    slots = StartSlots(3, 1)
    hanging = asyncio.Event()
    started: list[str] = []

    async def start(name: str, *, is_live: bool, until: asyncio.Event | None = None) -> None:
        async with slots.take(is_live=is_live):
            started.append(name)
            if until is not None:
                await until.wait()

    others = [asyncio.create_task(start(f"new{n}", is_live=False, until=hanging)) for n in range(5)]
    await eventually(lambda: len(started) == 2)
    await asyncio.wait_for(start("live", is_live=True), WAIT_S)
    assert started == ["new0", "new1", "live"]
    others[4].cancel()
    hanging.set()
    await asyncio.gather(*others, return_exceptions=True)
    assert sorted(started) == ["live", "new0", "new1", "new2", "new3"]
    await asyncio.wait_for(start("next", is_live=False), WAIT_S)
