"""Drains as messages of the contract, and what they wait for."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from pkg.drains import Drain, DrainReason
from pkg.drains import queries as drains
from pkg.errors import InvalidArgument, SealiftError
from pkg.restate import RestateClient
from pkg.workflows import queries as workflows
from sealift.ctrl.v1 import ctrl_pb2 as pb

MAX_WORK_IDS = 1000
UNKNOWN = "unknown"

_REASONS: dict[int, DrainReason] = {
    pb.DRAIN_REASON_UPGRADE: DrainReason.UPGRADE,
    pb.DRAIN_REASON_OPERATOR: DrainReason.OPERATOR,
}
_RENDERED = {DrainReason.UPGRADE: pb.DRAIN_REASON_UPGRADE, DrainReason.OPERATOR: pb.DRAIN_REASON_OPERATOR}


@dataclass(frozen=True)
class _Found:
    """What the database says at one moment."""

    drains: list[pb.Drain]
    in_progress: list[pb.DrainWork]
    ended: list[pb.DrainWork]
    recorded: int


def reason(number: int) -> DrainReason:
    """The reason of a request. Raises InvalidArgument for none."""
    found = _REASONS.get(number)
    if found is None:
        raise InvalidArgument("reason", "is required: DRAIN_REASON_UPGRADE or DRAIN_REASON_OPERATOR")
    return found


def render(drain: Drain) -> pb.Drain:
    """As clients read it."""
    return pb.Drain(
        drain_id=drain.id,
        reason=_RENDERED[drain.reason],
        client=drain.client,
        began_at=drain.began_at,
        ended_at=drain.ended_at or 0,
    )


def find(connection: Connection, work_ids: Sequence[str]) -> _Found:
    """The database's part of the status, in one transaction."""
    awaited = workflows.awaited_by_drain(connection)
    in_progress = [pb.DrainWork(id=one.key, kind=one.kind, status=one.status) for one in awaited if one.is_begun]
    running = {one.id for one in in_progress}
    ended = [ident for ident in work_ids if ident not in running]
    return _Found(
        drains=[render(drain) for drain in drains.active(connection)],
        in_progress=in_progress,
        ended=[pb.DrainWork(id=one, status=workflows.status_of(connection, one) or UNKNOWN) for one in ended],
        recorded=sum(not one.is_begun for one in awaited),
    )


async def status(found: _Found, restate: RestateClient, *, is_holding: bool) -> pb.GetDrainStatusResponse:
    """The whole answer. `is_holding`: as it was before the database was read, else new work may be missed."""
    invocations: list[str] = []
    problem = ""
    if not found.in_progress:
        try:
            invocations = await restate.half_done()
        except SealiftError:
            problem = "does not answer"
    is_quiet = is_holding and not (found.in_progress or invocations or problem)
    return pb.GetDrainStatusResponse(
        drains=found.drains,
        is_holding=is_holding,
        in_progress=found.in_progress,
        ended=found.ended,
        recorded=found.recorded,
        is_quiet=is_quiet,
        invocations=invocations,
        problem=problem,
    )
