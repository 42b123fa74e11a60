"""The handlers of `BuildSlot`, as Restate sees them."""

from restate import ObjectContext, VirtualObject

from pkg.restate.serde import ProtoSerde
from pkg.workflows.objects import SLOT_ACQUIRE, SLOT_RELEASE
from sealift.workflow.v1.workflow_pb2 import Empty, SlotReply, SlotRequest, SlotState
from svc.worker.declare import declared
from svc.worker.deps import WorkerDeps
from svc.worker.journal import Journal
from svc.worker.workflows.slot import rules
from svc.worker.workflows.slot.queue_state import Census, take_census

LEASE_MARGIN_S = 600
STATE = "state"
_SERDE = ProtoSerde(SlotState)
_EMPTY = ProtoSerde(Empty)


def service(deps: WorkerDeps) -> VirtualObject:
    """The object with these dependencies."""
    slots = VirtualObject(SLOT_ACQUIRE.service)

    @slots.handler(**declared(SLOT_ACQUIRE))
    async def acquire(ctx: ObjectContext, request: SlotRequest) -> SlotReply:
        """Takes a slot, or a place in the queue; asked again, says how it stands. Resolves the awakeable later."""
        state, census = await _load(ctx, deps)
        rules.enqueue(state, request.build_id, request.awakeable_id)
        _hand_on(ctx, deps, state, census, asking=request.build_id)
        return rules.reply_to(state, request.build_id)

    @slots.handler(**declared(SLOT_RELEASE))
    async def release(ctx: ObjectContext, request: SlotRequest) -> Empty:
        """Gives the slot, or the place in the queue, back. Idempotent."""
        state, census = await _load(ctx, deps)
        rules.leave(state, request.build_id)
        _hand_on(ctx, deps, state, census, asking="")
        return Empty()

    return slots


async def _load(ctx: ObjectContext, deps: WorkerDeps) -> tuple[SlotState, Census]:
    """The queue without those that have ended by the database's account."""
    state = await ctx.get(STATE, serde=_SERDE) or SlotState()
    census = await Journal(ctx, deps, "slot").step("census", take_census, ctx.key(), rules.members(state))
    rules.prune(state, census.ended, census.now)
    return state, census


def _hand_on(ctx: ObjectContext, deps: WorkerDeps, state: SlotState, census: Census, *, asking: str) -> None:
    """Hands free slots on, first come, first served, and keeps the queue."""
    lease_until = census.now + (deps.config.build.timeout_s + LEASE_MARGIN_S) * 1000
    for waiter in rules.grant(state, census.limit, lease_until):
        if waiter.build_id != asking and waiter.awakeable_id:
            ctx.resolve_awakeable(waiter.awakeable_id, Empty(), serde=_EMPTY)
    ctx.set(STATE, state, serde=_SERDE)
