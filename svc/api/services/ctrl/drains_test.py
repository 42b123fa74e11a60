"""Promise: new work is held back while any drain is active; each is ended by its id, and says what it waits for."""

import grpc
import pytest
from grpc import aio
from sqlalchemy import Connection, update

from pkg.deployments.tables import deployments
from sealift.ctrl.v1 import ctrl_pb2 as pb
from sealift.ctrl.v1 import deployment_pb2, key_pb2
from svc.api.conftest import Deploy
from svc.api.requests.queued import DRAINING, PAUSED
from svc.api.testing import RecordingRestate, RunningApi, all_sent, begin_drain, channel_with, end_drains, eventually

OPERATOR = pb.BeginDrainRequest(reason=pb.DRAIN_REASON_OPERATOR)
UPGRADE = pb.BeginDrainRequest(reason=pb.DRAIN_REASON_UPGRADE)


async def status(api: RunningApi, *work_ids: str) -> pb.GetDrainStatusResponse:
    answer: pb.GetDrainStatusResponse = await api.admin.ctrl.GetDrainStatus(pb.GetDrainStatusRequest(work_ids=work_ids))
    return answer


async def test_every_drain_is_ended_by_itself(api: RunningApi, deploy: Deploy, restate: RecordingRestate) -> None:
    """The end of an upgrade starts nothing that an operator's drain holds; the end of the last drain starts all."""
    upgrade = (await api.admin.ctrl.BeginDrain(UPGRADE)).drain
    operator = (await api.admin.ctrl.BeginDrain(OPERATOR)).drain
    assert [one.drain_id for one in (await status(api)).drains] == [upgrade.drain_id, operator.drain_id]
    await eventually(lambda: _holds(api), "the drains are seen")
    made = await deploy()
    assert made.queued_reason == PAUSED
    for _ in range(2):
        ended = (await api.admin.ctrl.EndDrain(pb.EndDrainRequest(drain_id=upgrade.drain_id))).drain
        assert ended.ended_at >= ended.began_at > 0
    left = await status(api)
    assert (left.is_holding, [one.drain_id for one in left.drains], left.recorded) == (True, [operator.drain_id], 1)
    assert restate.sent == []
    await api.admin.ctrl.EndDrain(pb.EndDrainRequest(drain_id=operator.drain_id))
    await eventually(lambda: restate.count("Deploy", "run", made.deployment_id) == 1, "sent at once", 2)
    assert list((await status(api)).drains) == []


async def test_beginning_again_is_the_same_one(api: RunningApi) -> None:
    """A key has one active drain for a reason; another key has its own, and one that has ended is not started again."""
    first, again = [(await api.admin.ctrl.BeginDrain(OPERATOR)).drain for _ in range(2)]
    assert first == again
    assert (first.client, first.reason, first.ended_at) == ("admin", pb.DRAIN_REASON_OPERATOR, 0)
    wanted = key_pb2.CreateKeyRequest(name="ci", role=key_pb2.KEY_ROLE_ADMIN)
    key = (await api.admin.key.CreateKey(wanted)).secret
    async with channel_with(api.grpc, key) as channel:
        begin = channel.unary_unary(
            "/sealift.ctrl.v1.CtrlService/BeginDrain", pb.BeginDrainRequest.SerializeToString,
            pb.BeginDrainResponse.FromString,
        )  # fmt: skip
        other = (await begin(OPERATOR)).drain
    assert (other.client, other.drain_id != first.drain_id) == ("ci", True)
    await end_drains(api)
    later = (await api.admin.ctrl.BeginDrain(OPERATOR)).drain
    assert later.drain_id not in {first.drain_id, other.drain_id}


async def test_what_a_drain_waits_for(api: RunningApi, deploy: Deploy, restate: RecordingRestate) -> None:
    """Started work is in progress until it has an outcome; the workflow engine is queried after that."""
    made = await deploy()
    await all_sent(api)
    await begin_drain(api)
    await eventually(lambda: _holds(api), "the drain is seen")
    assert (await deploy(branch="waits")).queued_reason == DRAINING
    restate.half_done = [f"Deploy/{made.deployment_id}/run"]
    found = await status(api, made.deployment_id)
    assert [(one.id, one.kind, one.status) for one in found.in_progress] == [(made.deployment_id, "deploy", "pending")]
    assert (found.recorded, list(found.invocations), found.is_quiet, list(found.ended)) == (1, [], False, [])
    await api.admin.deployment.CancelDeployment(
        deployment_pb2.CancelDeploymentRequest(deployment_id=made.deployment_id)
    )
    await api.db.write(_cancelled, made.deployment_id)
    found = await status(api, made.deployment_id, "dep_none")
    assert [(one.id, one.status) for one in found.ended] == [(made.deployment_id, "cancelled"), ("dep_none", "unknown")]
    assert (list(found.invocations), found.is_quiet) == (restate.half_done, False)
    restate.half_done = []
    assert (await status(api)).is_quiet
    restate.is_away = True
    away = await status(api)
    assert (away.is_quiet, away.problem) == (False, "does not answer")


async def test_what_is_no_drain_is_refused(api: RunningApi) -> None:
    """A wrong id is not taken for one that has ended, and a drain needs a reason."""
    for request, code, said in (
        (pb.EndDrainRequest(drain_id="drain_" + "0" * 26), grpc.StatusCode.NOT_FOUND, "never was a drain"),
        (pb.EndDrainRequest(drain_id="dep_1"), grpc.StatusCode.INVALID_ARGUMENT, "is not a drain id"),
    ):
        with pytest.raises(aio.AioRpcError, match=said) as refused:
            await api.admin.ctrl.EndDrain(request)
        assert refused.value.code() is code
    with pytest.raises(aio.AioRpcError, match="DRAIN_REASON_UPGRADE or"):
        await api.admin.ctrl.BeginDrain(pb.BeginDrainRequest())
    with pytest.raises(aio.AioRpcError, match="at most 1000"):
        await status(api, *["dep_1"] * 1001)


async def _holds(api: RunningApi) -> bool:
    return (await status(api)).is_holding


def _cancelled(connection: Connection, deployment_id: str) -> None:
    connection.execute(update(deployments).where(deployments.c.id == deployment_id).values(status="cancelled"))
