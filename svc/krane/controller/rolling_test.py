"""A restart as krane rolls it: never fewer instances serve than wanted, and it comes to an end."""

from hypothesis import given
from hypothesis import strategies as st

from svc.krane.controller.rolling import ReplicaState, RollingStep, next_step

numbers = st.integers(1, 6)


class Region:
    """Instances that do what a step says; one that is made serves after some passes.

    `passes`: how many for each that is made, over and over.
    """

    def __init__(self, wanted: int, passes: list[int]) -> None:
        self.wanted = wanted
        self.generation = 0
        self.found = {replica: ReplicaState(0, is_serving=True) for replica in range(wanted)}
        self._passes = passes
        self._made = 0
        self._waits: dict[int, int] = {}
        self.replaced: list[int] = []

    @property
    def serving(self) -> int:
        return sum(state.is_serving for state in self.found.values())

    def do(self, *, may_exceed: bool = True) -> RollingStep:
        """One pass."""
        step = next_step(self.found, self.wanted, self.generation, may_exceed=may_exceed)
        if step.replace is not None:
            self.replaced.append(step.replace)
            del self.found[step.replace]
        for surplus in [replica for replica in self.found if replica >= step.count]:
            del self.found[surplus]
        for replica in range(step.count):
            if replica not in self.found:
                self._waits[replica] = self._passes[self._made % len(self._passes)]
                self._made += 1
                self.found[replica] = ReplicaState(self.generation, is_serving=False)
            elif not self.found[replica].is_serving:
                self._waits[replica] = self._waits.get(replica, 0) - 1
                if self._waits[replica] <= 0:
                    self.found[replica] = ReplicaState(self.found[replica].generation, is_serving=True)
        return step

    @property
    def is_settled(self) -> bool:
        everyone = self.found.keys() == set(range(self.wanted))
        return everyone and all(s.is_serving and s.generation >= self.generation for s in self.found.values())


@given(numbers, st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_as_many_serve_as_are_wanted(wanted: int, passes: list[int]) -> None:
    """Promise: at every moment; each instance is made again once, and none is left beyond the number."""
    region = Region(wanted, passes)
    region.generation = 7
    for _ in range(200):
        region.do()
        assert region.serving >= wanted
        assert len(region.found) <= wanted + 1
        if region.is_settled:
            break
    assert region.is_settled
    assert region.replaced == list(range(wanted))
    assert region.do() == RollingStep(wanted)


@given(
    numbers,
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["restart", "crash", "undo", "more", "less"])), max_size=12),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
)
def test_whatever_happens_meanwhile(wanted: int, events: list[tuple[int, str]], passes: list[int]) -> None:
    """Promise: krane itself never ends what is missed; after crashes, scales, restarts and undos, all settles."""
    region = Region(wanted, passes)
    for after, event in [*events, (0, "restart")]:
        for _ in range(after):
            before = region.serving
            region.do()
            assert region.serving >= min(before, region.wanted)
        match event:
            case "restart":
                region.generation += 1
            case "undo":
                region.generation = max(0, region.generation - 1)
            case "more":
                region.wanted += 1
            case "less":
                region.wanted = max(1, region.wanted - 1)
            case "crash" if region.found:
                replica = min(region.found)
                region.found[replica] = ReplicaState(region.found[replica].generation, is_serving=False)
    for _ in range(300):
        region.do()
    assert region.is_settled


def test_what_does_not_serve_is_made_again_first() -> None:
    """Promise: nobody has to wait for an instance that fails."""
    found = {0: ReplicaState(0, is_serving=True), 1: ReplicaState(0, is_serving=False)}
    assert next_step(found, 2, 3) == RollingStep(3, 1)


def test_nothing_is_made_again_while_one_is_missing() -> None:
    """Promise: the next one ends only once the spare and the one before serve."""
    serving, starting = ReplicaState(3, is_serving=True), ReplicaState(3, is_serving=False)
    old = ReplicaState(0, is_serving=True)
    assert next_step({0: old, 1: old}, 2, 3) == RollingStep(3)
    assert next_step({0: old, 1: old, 2: starting}, 2, 3) == RollingStep(3)
    assert next_step({0: old, 1: old, 2: serving}, 2, 3) == RollingStep(3, 0)
    assert next_step({0: starting, 1: old, 2: serving}, 2, 3) == RollingStep(3)
    assert next_step({1: old, 2: serving}, 2, 3) == RollingStep(3)
    assert next_step({0: serving, 1: starting, 2: serving}, 2, 3) == RollingStep(3)
    assert next_step({0: serving, 1: serving, 2: serving}, 2, 3) == RollingStep(2)


@given(st.integers(2, 6))
def test_without_an_instance_more(wanted: int) -> None:
    """Promise: where an autoscaler holds the number, at most one is missing at a time."""
    region = Region(wanted, [2])
    region.generation = 1
    for _ in range(100):
        step = region.do(may_exceed=False)
        assert step.count == wanted
        assert region.serving >= wanted - 1
    assert region.is_settled
