"""The rules of the build queue: never more than the limit, production first, previews not starved, none lost."""

from hypothesis import given
from hypothesis import strategies as st

from sealift.workflow.v1.workflow_pb2 import SlotState
from svc.worker.workflows.slot import queue as slots

BUILDS = [f"bld_{n}" for n in range(8)]
ACTIONS = st.lists(st.tuples(st.sampled_from(["ask", "leave", "end"]), st.sampled_from(BUILDS)), max_size=60)


@given(actions=ACTIONS, limits=st.lists(st.integers(0, 4), min_size=60, max_size=60))
def test_slots_are_handed_on_in_order(actions: list[tuple[str, str]], limits: list[int]) -> None:
    """A model of the queue: earlier builds that still wait are served earlier, within the current limit."""
    state, queue, holders = SlotState(), list[str](), list[str]()
    for (action, build_id), limit in zip(actions, limits, strict=False):
        if action == "ask" and build_id not in queue + holders:
            queue.append(build_id)
        elif action != "ask":
            queue, holders = [b for b in queue if b != build_id], [b for b in holders if b != build_id]
        if action == "ask":
            slots.enqueue(state, build_id, f"awk-{build_id}")
        elif action == "leave":
            slots.leave(state, build_id)
        else:
            slots.prune(state, [build_id], now=0)
        expected = []
        while queue and len(holders) < limit:
            expected.append(queue[0])
            holders.append(queue.pop(0))
        granted = slots.grant(state, limit, lease_until=10)
        assert [(w.build_id, w.awakeable_id) for w in granted] == [(b, f"awk-{b}") for b in expected]
        assert [h.build_id for h in state.holders] == holders
        assert [w.build_id for w in state.waiters] == queue
        reply = slots.reply_to(state, build_id)
        assert reply.granted == (build_id in holders)
        assert reply.position == (queue.index(build_id) + 1 if build_id in queue else 0)


def test_a_lease_ends() -> None:
    """A holder that never came back loses its slot when its lease expires, not before."""
    state = SlotState()
    slots.enqueue(state, "bld_a", "x")
    slots.grant(state, 1, lease_until=100)
    slots.enqueue(state, "bld_b", "y")
    slots.prune(state, [], now=99)
    assert slots.grant(state, 1, lease_until=200) == []
    slots.prune(state, [], now=100)
    assert [w.build_id for w in slots.grant(state, 1, lease_until=200)] == ["bld_b"]


KINDS = st.sets(st.sampled_from(BUILDS))


@given(production=KINDS, limit=st.integers(1, 4), actions=ACTIONS)
def test_production_goes_first_and_never_beyond_the_limit(
    production: set[str], limit: int, actions: list[tuple[str, str]]
) -> None:
    """A preview is served before a waiting build for production only after MAX_OVERTAKING of these in a row; within a
    kind, first come, first served; a slot stays free only if nobody waits."""
    state, in_a_row = SlotState(), 0
    for action, build_id in actions:
        if action == "ask":
            slots.enqueue(state, build_id, "")
        else:
            slots.leave(state, build_id)
        waiting = [w.build_id for w in state.waiters]
        foretold = sorted(waiting, key=lambda b: slots.reply_to(state, b, production).position)
        granted = [w.build_id for w in slots.grant(state, limit, 10, production)]
        assert granted == foretold[: len(granted)], "the position told is the one that is served"
        for served in granted:
            others = [b for b in waiting if (b in production) != (served in production)]
            same = [b for b in waiting if (b in production) == (served in production)]
            assert served == same[0]
            if served not in production:
                assert not others or in_a_row == slots.MAX_OVERTAKING
                in_a_row = 0
            elif others:
                in_a_row += 1
                assert in_a_row <= slots.MAX_OVERTAKING
            waiting.remove(served)
        assert len(state.holders) <= limit
        assert len(state.holders) == limit or not state.waiters


@given(before=st.integers(0, 5), limit=st.integers(1, 3))
def test_an_endless_stream_of_production_builds_starves_no_preview(before: int, limit: int) -> None:
    """Whatever arrives, a preview with n previews before it starts after at most (n + 1) * MAX_OVERTAKING builds."""
    state, production = SlotState(), [f"bld_live_{n}" for n in range(100)]
    for n in range(before + 1):
        slots.enqueue(state, f"bld_preview_{n}", "")
    served = []
    for one in production:
        slots.enqueue(state, one, "")
        served += [waiter.build_id for waiter in slots.grant(state, limit, 10, production)]
        if len(state.holders) == limit:
            slots.leave(state, state.holders[0].build_id)
    ahead = served[: served.index(f"bld_preview_{before}")]
    assert len([one for one in ahead if one in production]) <= (before + 1) * slots.MAX_OVERTAKING


def test_no_preview_waits_for_nothing() -> None:
    """Without builds for production previews get every slot, and the count of those that overtook begins again."""
    state = SlotState(overtaken=2)
    for name in ("bld_a", "bld_b"):
        slots.enqueue(state, name, "")
    assert len(slots.grant(state, 2, 10, [])) == 2
    assert state.overtaken == 0
