"""The queue for build slots. Pure: functions that change a SlotState."""

from collections.abc import Callable, Collection

from sealift.workflow.v1.workflow_pb2 import SlotHolder, SlotReply, SlotState, SlotWaiter


def enqueue(state: SlotState, build_id: str, awakeable_id: str) -> None:
    """Puts the build at the end of the queue, unless it holds a slot or waits already."""
    if holds(state, build_id) or any(w.build_id == build_id for w in state.waiters):
        return
    state.waiters.append(SlotWaiter(build_id=build_id, awakeable_id=awakeable_id))


def leave(state: SlotState, build_id: str) -> None:
    """Removes the build, holder or waiter. Idempotent."""
    _keep(state, lambda other: other != build_id)


def prune(state: SlotState, ended: Collection[str], now: int) -> None:
    """Removes builds that have ended, and holders whose lease has expired."""
    _keep(state, lambda build_id: build_id not in ended)
    alive = [h for h in state.holders if h.lease_until > now]
    del state.holders[:]
    state.holders.extend(alive)


def grant(state: SlotState, limit: int, lease_until: int) -> list[SlotWaiter]:
    """Grants free slots to the first in the queue; returns those that were granted one."""
    granted = []
    while state.waiters and len(state.holders) < limit:
        first = SlotWaiter()
        first.CopyFrom(state.waiters.pop(0))
        state.holders.append(SlotHolder(build_id=first.build_id, lease_until=lease_until))
        granted.append(first)
    return granted


def holds(state: SlotState, build_id: str) -> bool:
    """Whether the build holds a slot."""
    return any(h.build_id == build_id for h in state.holders)


def reply_to(state: SlotState, build_id: str) -> SlotReply:
    """The reply to the build."""
    if holds(state, build_id):
        return SlotReply(granted=True)
    queue = [w.build_id for w in state.waiters]
    return SlotReply(granted=False, position=queue.index(build_id) + 1 if build_id in queue else 0)


def members(state: SlotState) -> list[str]:
    """Every build in it, holders first."""
    return [h.build_id for h in state.holders] + [w.build_id for w in state.waiters]


def _keep(state: SlotState, is_wanted: Callable[[str], bool]) -> None:
    holders = [h for h in state.holders if is_wanted(h.build_id)]
    waiters = [w for w in state.waiters if is_wanted(w.build_id)]
    del state.holders[:]
    del state.waiters[:]
    state.holders.extend(holders)
    state.waiters.extend(waiters)
