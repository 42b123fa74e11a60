"""How often the disk is measured, and what is reported of it."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from pkg.testing.wait import WAIT_S
from svc.krane.runtime.docker.disk import MAX_INTERVAL_S, MIB, MIN_INTERVAL_S, SHARE, DiskUse, DiskWatch, interval_s
from svc.krane.runtime.port import EventKind, InstanceEvent


@given(st.floats(0, 300))
def test_measuring_costs_its_share_at_most(took_s: float) -> None:
    """Promise: however many files there are, measuring takes a twentieth of the time at most."""
    wait_s = interval_s(took_s)
    assert MIN_INTERVAL_S <= wait_s <= MAX_INTERVAL_S
    assert wait_s == MAX_INTERVAL_S or took_s <= (took_s + wait_s) * SHARE * 1.001


async def test_only_what_exceeds_its_own_deployments_bound_is_told() -> None:
    """Promise: the bound itself is allowed, each deployment has its own, and 0 is none."""
    uses = [
        DiskUse("a-0", "dep_a", "c1", 64 * MIB + 1),
        DiskUse("a-1", "dep_a", "c2", 64 * MIB),
        DiskUse("b-0", "dep_b", "c3", 65 * MIB),
        DiskUse("c-0", "dep_c", "c4", 65 * MIB),
        DiskUse("d-0", "dep_d", "c5", 65 * MIB),
    ]
    told: asyncio.Queue[InstanceEvent] = asyncio.Queue()

    async def measure() -> list[DiskUse]:
        return uses

    watch = DiskWatch(measure, told.put_nowait)
    for deployment_id, disk_mib in (("dep_a", 64), ("dep_b", 65), ("dep_c", 0), ("dep_e", 1)):
        watch.set_bound(deployment_id, disk_mib)
    watch.set_bound("dep_d", 1)
    watch.forget_all_but(frozenset({"dep_a", "dep_b", "dep_c"}))
    running = asyncio.create_task(watch.run())
    try:
        event = await asyncio.wait_for(told.get(), WAIT_S)
    finally:
        running.cancel()
    assert told.empty()
    assert event == InstanceEvent(EventKind.DISK_EXCEEDED, "dep_a", "a-0", uid="c1", used_bytes=64 * MIB + 1)
