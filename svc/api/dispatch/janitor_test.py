"""What the janitor forgets, and what it keeps."""

from sqlalchemy import select, update

from pkg.clock import now_ms
from pkg.db.tables import contexts, idempotency_keys
from pkg.storage import DiskStore, UrlSigner
from sealift.ctrl.v1 import build_pb2, project_pb2
from svc.api.conftest import Upload
from svc.api.dispatch.janitor import Janitor
from svc.api.testing import RunningApi


async def test_expired_contexts_go_unless_a_build_needs_them(
    api: RunningApi, project: project_pb2.Project, upload: Upload
) -> None:
    """Promise: disk use is bounded, and no build loses its context under its hands."""
    idle, needed, fresh = [await upload(project.project_id, content) for content in (b"1", b"2", b"3")]
    await api.admin.build.CreateBuild(
        build_pb2.CreateBuildRequest(
            project_id=project.project_id,
            build_context=build_pb2.BuildContext(build_context_path=needed),
            idempotency_key="k",
        )
    )
    expired = update(contexts).where(contexts.c.path != fresh).values(expires_at=1)
    await api.db.write(lambda c: c.execute(expired))
    await api.db.write(lambda c: c.execute(update(idempotency_keys).values(created_at=1)))
    store = DiskStore(api.config.objects.root, UrlSigner(b"0" * 32), "http://unused")
    janitor = Janitor(api.db, store, now_ms)
    for _ in range(2):
        await janitor.clean()
    assert await store.head(idle) is None
    assert await store.head(needed) is not None
    assert await store.head(fresh) is not None
    store.close()
    assert await api.db.read(lambda c: c.execute(select(idempotency_keys)).all()) == []
