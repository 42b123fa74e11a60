"""Which step is ended for the disk's sake: the one that wrote most, and only when a bound does not hold."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pkg.builds.bounds import least_free_bytes
from svc.standalone import build_steps
from svc.standalone.build_limits import BuildLimits
from svc.standalone.build_steps import RunningStep, Written
from svc.standalone.build_watch import LEAST_BLAMED_BYTES, Space, choose, writable_bytes

MIB = 1 << 20
LIMITS = BuildLimits(memory_mib=512, cpu_millicores=1500, pids=4096)
WRITTEN = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1 << 40))


def test_defaults_leave_half_of_the_disk() -> None:
    """Half of what was free before the builds, and a twentieth of the disk in any case; settings go before both."""
    space = Space(free_bytes=30 << 30, idle_free_bytes=40 << 30, size_bytes=1 << 40)
    assert writable_bytes(LIMITS, space) == 20 << 30
    assert least_free_bytes(0, 1 << 40) == 5 << 30
    assert least_free_bytes(0, 20 << 30) == 1 << 30
    chosen = BuildLimits(512, 1500, 4096, disk_mib=100, min_free_mib=200)
    assert writable_bytes(chosen, space) == 100 * MIB
    assert least_free_bytes(200, 1 << 40) == 200 * MIB


@given(written=WRITTEN, free=st.integers(0, 1 << 40), disk_mib=st.integers(0, 1 << 20), least=st.integers(0, 1 << 20))
def test_who_wrote_most_is_ended(written: dict[str, int], free: int, disk_mib: int, least: int) -> None:
    """Nobody else, and nobody while the bounds hold; a full disk is not blamed on a step that wrote next to nothing."""
    limits = BuildLimits(512, 1500, 4096, disk_mib, least)
    space = Space(free, max(free, 1 << 30), 1 << 41)
    chosen = choose(written, limits, space)
    beyond = sum(written.values()) > writable_bytes(limits, space)
    short = free < least_free_bytes(limits.min_free_mib, space.size_bytes)
    if chosen is None:
        assert not written or not beyond
        assert not short or all(size < LEAST_BLAMED_BYTES for size in written.values())
        return
    name, hit = chosen
    assert beyond or short
    assert written[name] == max(written.values())
    assert hit.setting == ("disk_mib" if beyond else "min_free_mib")


async def test_what_a_step_has_written(tmp_path: Path) -> None:
    """Blocks of files, each link once, empty files as a block; of a mount only what came since the first look."""
    layer, mount = tmp_path / "layer", tmp_path / "mount"
    for folder in (layer, mount):
        folder.mkdir()
    (layer / "big").write_bytes(os.urandom(MIB))
    os.link(layer / "big", layer / "again")
    (layer / "sparse").touch()
    os.truncate(layer / "sparse", 1 << 40)
    (mount / "old").write_bytes(os.urandom(MIB))
    step, written = RunningStep("x", 1, 0, layer, (mount,)), Written()
    assert await written.measure(step) == MIB + build_steps.LEAST_FILE_BYTES
    (mount / "new").write_bytes(os.urandom(2 * MIB))
    for number in range(10):
        (layer / f"empty-{number}").touch()
    assert await written.measure(step) == 3 * MIB + 11 * build_steps.LEAST_FILE_BYTES
    assert await build_steps.size_of(tmp_path / "gone") == 0
