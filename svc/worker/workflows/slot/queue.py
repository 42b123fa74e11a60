"""The queue for build slots. Pure: functions that change a SlotState.

Builds for production go before all others ("previews": preview environments, and builds without a deployment); within
each of the two, first come, first served. Previews are not starved: while some wait, at most MAX_OVERTAKING slots in a
row go to production, then one goes to the first preview. So a preview with n previews before it starts after at most
(n + 1) * MAX_OVERTAKING builds for production.
"""

from collections.abc import Callable, Collection

from sealift.workflow.v1.workflow_pb2 import SlotHolder, SlotReply, SlotState, SlotWaiter

MAX_OVERTAKING = 3


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


def grant(state: SlotState, limit: int, lease_until: int, production: Collection[str] = ()) -> list[SlotWaiter]:
    """Grants free slots in the order of service; returns the builds that were granted one.

    `limit` counts builds of both kinds. `production` names those that are for production. Leases last until
    `lease_until` (epoch ms).
    """
    granted = []
    while state.waiters and len(state.holders) < limit:
        number, state.overtaken = _next(state.waiters, state.overtaken, production)
        first = SlotWaiter()
        first.CopyFrom(state.waiters.pop(number))
        state.holders.append(SlotHolder(build_id=first.build_id, lease_until=lease_until))
        granted.append(first)
    return granted


def holds(state: SlotState, build_id: str) -> bool:
    """Whether the build holds a slot."""
    return any(h.build_id == build_id for h in state.holders)


def reply_to(state: SlotState, build_id: str, production: Collection[str] = ()) -> SlotReply:
    """The reply to the build; its position is that in the order of service if nobody else comes."""
    if holds(state, build_id):
        return SlotReply(granted=True)
    order = [w.build_id for w in _in_order_of_service(state, production)]
    return SlotReply(granted=False, position=order.index(build_id) + 1 if build_id in order else 0)


def members(state: SlotState) -> list[str]:
    """Every build in it, holders first."""
    return [h.build_id for h in state.holders] + [w.build_id for w in state.waiters]


def _next(waiters: Collection[SlotWaiter], overtaken: int, production: Collection[str]) -> tuple[int, int]:
    """Which waiter is served next, and how many in a row have then gone to production while a preview waited."""
    kinds = [waiter.build_id in production for waiter in waiters]
    if not any(kinds):
        return 0, 0
    if all(kinds):
        return 0, overtaken
    return (kinds.index(False), 0) if overtaken >= MAX_OVERTAKING else (kinds.index(True), overtaken + 1)


def _in_order_of_service(state: SlotState, production: Collection[str]) -> list[SlotWaiter]:
    left, overtaken, order = list(state.waiters), state.overtaken, []
    while left:
        number, overtaken = _next(left, overtaken, production)
        order.append(left.pop(number))
    return order


def _keep(state: SlotState, is_wanted: Callable[[str], bool]) -> None:
    holders = [h for h in state.holders if is_wanted(h.build_id)]
    waiters = [w for w in state.waiters if is_wanted(w.build_id)]
    del state.holders[:]
    del state.waiters[:]
    state.holders.extend(holders)
    state.waiters.extend(waiters)
