"""The rules of the build queue: never more than the limit, first come, first served, none lost."""

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
