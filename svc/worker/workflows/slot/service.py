"""The handlers of `BuildSlot`."""

import msgspec
from restate import ObjectContext, VirtualObject
from sqlalchemy import Connection

from pkg.builds import queries as builds
from pkg.restate.serde import ProtoSerde
from pkg.workflows.objects import SLOT_ACQUIRE, SLOT_RELEASE
from pkg.workspaces.queries import build_slots
from sealift.workflow.v1.workflow_pb2 import Empty, SlotReply, SlotRequest, SlotState
from svc.worker.deps import WorkerDeps
from svc.worker.handlers import declared
from svc.worker.journal import Journal
from svc.worker.workflows.slot import queue

LEASE_MARGIN_S = 600
STATE = "state"
_SERDE = ProtoSerde(SlotState)
_EMPTY = ProtoSerde(Empty)


def service(deps: WorkerDeps) -> VirtualObject:
    """The handlers, with these dependencies."""
    slots = VirtualObject(SLOT_ACQUIRE.service)

    @slots.handler(**declared(SLOT_ACQUIRE))
    async def acquire(ctx: ObjectContext, request: SlotRequest) -> SlotReply:
        """Takes a slot, or a place in the queue; repeated, returns the place. Resolves the awakeable with the slot."""
        slot_state, known = await _load(ctx, deps, asking=request.build_id)
        queue.enqueue(slot_state, request.build_id, request.awakeable_id)
        _grant(ctx, deps, slot_state, known, caller=request.build_id)
        return queue.reply_to(slot_state, request.build_id, known.production)

    @slots.handler(**declared(SLOT_RELEASE))
    async def release(ctx: ObjectContext, request: SlotRequest) -> Empty:
        """Releases the slot, or the place in the queue. Idempotent."""
        slot_state, known = await _load(ctx, deps)
        queue.leave(slot_state, request.build_id)
        _grant(ctx, deps, slot_state, known, caller="")
        return Empty()

    return slots


class QueueState(msgspec.Struct, frozen=True, kw_only=True):
    """What the database knows: how many slots there are, which builds of the queue have ended or are for production.

    A journal that an older worker began has no `production`: that call serves in the order in which builds came.
    """

    limit: int
    ended: list[str]
    now: int
    production: list[str] = []


async def read_queue_state(deps: WorkerDeps, workspace_id: str, build_ids: list[str], asking: str = "") -> QueueState:
    """Read on every call: the limit may have changed, and a build may have ended without releasing its slot.

    `build_ids` are in the queue; `asking` is a build that may not be in it yet.
    """

    def read(connection: Connection) -> QueueState:
        ended = []
        for build_id in build_ids:
            found = builds.get(connection, build_id)
            if found is None or found.status.is_terminal:
                ended.append(build_id)
        return QueueState(
            limit=build_slots(connection, workspace_id),
            ended=ended,
            now=deps.clock(),
            production=builds.for_production(connection, [*build_ids, asking]),
        )

    return await deps.db.read(read)


async def _load(ctx: ObjectContext, deps: WorkerDeps, asking: str = "") -> tuple[SlotState, QueueState]:
    """The queue without builds that have ended."""
    slot_state = await ctx.get(STATE, serde=_SERDE) or SlotState()
    members = queue.members(slot_state)
    known = await Journal(ctx, deps, "slot").step("census", read_queue_state, ctx.key(), members, asking)
    queue.prune(slot_state, known.ended, known.now)
    return slot_state, known


def _grant(ctx: ObjectContext, deps: WorkerDeps, slot_state: SlotState, known: QueueState, *, caller: str) -> None:
    """Grants free slots in the order of service, and stores the queue. The reply reports it to the caller."""
    lease_until = known.now + (deps.config.build.timeout_s + LEASE_MARGIN_S) * 1000
    for waiter in queue.grant(slot_state, known.limit, lease_until, known.production):
        if waiter.build_id != caller and waiter.awakeable_id:
            ctx.resolve_awakeable(waiter.awakeable_id, Empty(), serde=_EMPTY)
    ctx.set(STATE, slot_state, serde=_SERDE)
