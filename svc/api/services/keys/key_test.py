"""What the list of access keys promises."""

from pkg.clock import now_ms
from sealift.ctrl.v1 import ctrl_pb2, key_pb2
from svc.api.testing import RunningApi


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
