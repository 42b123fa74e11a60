"""Builds wait for everybody else on the CPU, get their turn when they starve, and never make an app wait with them."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pkg.cgroups import Hierarchy
from svc.standalone import build_cpu, build_limits
from svc.standalone.build_cpu import BuildCpu, Turns


def test_builds_that_starve_get_their_turn() -> None:
    """After three seconds with next to no CPU they are ordinary for three seconds, and so on; else they are idle."""
    turns = Turns()
    found = [turns.is_idle(float(second), 0.01, is_runnable=True) for second in range(14)]
    assert found == [True] * 3 + [False] * 3 + [True] * 3 + [False] * 3 + [True] * 2
    assert Turns().is_idle(0, 1.4, is_runnable=True)
    assert all(turns.is_idle(100.0 + second, 0.0, is_runnable=False) for second in range(10))


@given(rounds=st.lists(st.tuples(st.floats(0, 2), st.booleans()), min_size=20, max_size=60))
def test_no_starvation_lasts(rounds: list[tuple[float, bool]]) -> None:
    """Whatever happens, builds that starve for long have their turn within it, and builds that don't never do."""
    turns, starved = Turns(), 0
    for second, (used, is_runnable) in enumerate(rounds):
        is_idle = turns.is_idle(float(second), used, is_runnable=is_runnable)
        starved = starved + 1 if is_runnable and used < build_cpu.LEAST_CORES and is_idle else 0
        assert starved <= build_cpu.STARVES_AFTER_S + 1


def test_other_containers_make_it_an_ordinary_group(tmp_path: Path) -> None:
    """An app in the engine's own group, from before krane had one, does not wait for others; a kernel may lack it."""
    tree = Hierarchy(2, {"cpu": tmp_path})
    group = tmp_path / "sealiftx"
    for name in (build_limits.BUILDKIT, "container"):
        (group / name).mkdir(parents=True)
        (group / name / "cgroup.procs").write_text("")
    (group / build_limits.BUILDKIT / "cpu.stat").write_text("usage_usec 5000000\nuser_usec 1\n")
    cpu = BuildCpu(tree, "/sealiftx")
    cpu.look(1.0)
    assert not (group / "cpu.idle").exists()
    (group / "cpu.idle").write_text("0\n")
    cpu.look(2.0)
    assert (group / "cpu.idle").read_text() == "1"
    (group / "container" / "cgroup.procs").write_text("17\n")
    cpu.look(3.0)
    assert (group / "cpu.idle").read_text() == "0"
