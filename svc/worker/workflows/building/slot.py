"""Getting one of the workspace's build slots, and giving it back."""

from restate import WorkflowContext

from pkg.restate.serde import ProtoSerde
from pkg.workflows.objects import SLOT_ACQUIRE, SLOT_RELEASE
from sealift.workflow.v1.workflow_pb2 import Empty, SlotRequest
from svc.worker.journal import Journal
from svc.worker.workflows.building.open import Opened
from svc.worker.workflows.ends import End, GiveUpError
from svc.worker.workflows.waiting import Stop

ASK_AGAIN_S = 30


async def acquire_slot(ctx: WorkflowContext, journal: Journal, opened: Opened, stop: Stop) -> None:
    """Waits in the queue. Raises GiveUpError(STOPPED) when it is cancelled there; its place is given back at the end.

    Asked again now and then: each question prunes the queue, so that a lost word costs half a minute.
    """
    awakeable_id, granted = ctx.awakeable(serde=ProtoSerde(Empty))
    request = SlotRequest(build_id=opened.build_id, awakeable_id=awakeable_id)
    while True:
        reply = await journal.call(SLOT_ACQUIRE, opened.workspace_id, request)
        if reply.granted:
            return
        rung = await journal.wait(ASK_AGAIN_S, granted=granted, stop=stop.future)
        if rung == "stop":
            raise GiveUpError(End.STOPPED)
        if rung == "granted":
            return


def release_slot(journal: Journal, opened: Opened) -> None:
    """Gives the slot, or the place in the queue, back."""
    journal.send(SLOT_RELEASE, opened.workspace_id, SlotRequest(build_id=opened.build_id))
