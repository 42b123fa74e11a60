"""What access keys promise to those who ask about them."""

import pytest
from grpc import aio

from pkg.clock import now_ms
from sealift.ctrl.v1 import ctrl_pb2, key_pb2
from svc.api.testing import REGION, RunningApi, refused


async def test_a_use_is_listed_at_once(api: RunningApi) -> None:
    """Promise: a key that was used is never called unused: who cleans up keys by this list revokes what works."""
    made = await api.admin.key.CreateKey(key_pb2.CreateKeyRequest(name="ci", role=key_pb2.KEY_ROLE_DEPLOY))

    async def used_at() -> int:
        listed = (await api.admin.key.ListKeys(key_pb2.ListKeysRequest())).keys
        found: int = next(key.last_used_at for key in listed if key.key_id == made.key.key_id)
        return found

    assert await used_at() == 0
    before = now_ms()
    await api.open.ctrl.GetServerInfo(
        ctrl_pb2.GetServerInfoRequest(), metadata=(("authorization", f"Bearer {made.secret}"),)
    )
    assert before <= await used_at() <= now_ms()


async def test_every_role_may_ask_who_it_is(api: RunningApi) -> None:
    """Promise: any key learns its own name, role, workspace and server, and no other key's."""
    request = key_pb2.GetCurrentKeyRequest()
    made = await api.admin.key.CreateKey(
        key_pb2.CreateKeyRequest(name="laptop", role=key_pb2.KEY_ROLE_DEPLOY, expires_in_s=3600)
    )
    mine = await api.open.key.GetCurrentKey(request, metadata=(("authorization", f"Bearer {made.secret}"),))
    assert (mine.key.key_id, mine.key.name, mine.key.role) == (made.key.key_id, "laptop", key_pb2.KEY_ROLE_DEPLOY)
    assert mine.key.expires_at == made.key.expires_at > now_ms()
    assert mine.workspace_slug == "default"
    info = await api.admin.ctrl.GetServerInfo(ctrl_pb2.GetServerInfoRequest())
    assert (mine.installation_id, mine.server_version) == (info.installation_id, info.version)
    krane = await api.krane.key.GetCurrentKey(request)
    assert (krane.key.role, krane.key.region) == (key_pb2.KEY_ROLE_CLUSTER, REGION)
    assert krane.workspace_id == mine.workspace_id
    with pytest.raises(aio.AioRpcError) as caught:
        await api.open.key.GetCurrentKey(request)
    assert refused(caught.value)[1] == "auth.key_missing"
