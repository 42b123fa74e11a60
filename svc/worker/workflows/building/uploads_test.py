"""What becomes of uploads in a store that can't bind them to their content: a real S3 server, a real database."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import Connection, insert
from yarl import URL

from pkg.builds import contexts, uploads
from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus
from pkg.builds.tables import builds as builds_table
from pkg.clock import now_ms
from pkg.contexts import ContextChecker
from pkg.errors import Unavailable
from pkg.ids import new_id
from pkg.restate.testing import RestateServer
from pkg.storage import preparing
from pkg.storage.s3.store import S3Store
from pkg.storage.s3.testing import S3Front, SwiftServer, fronted
from pkg.storage.testing import put
from svc.worker.deps import WorkerDeps
from svc.worker.testing.harness import WorkerHarness, tarball, worker_harness
from svc.worker.workflows.building.preparation import check
from svc.worker.workflows.retention.contexts import delete_expired

pytestmark = pytest.mark.parametrize("restate_server", ["normal"], indirect=True)

HOUR_MS = 3_600_000
ARCHIVE = tarball("s3")
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
OTHER = bytes(len(ARCHIVE))


@pytest.fixture
async def harness(restate_server: RestateServer, tmp_path: Path) -> AsyncIterator[WorkerHarness]:
    async with worker_harness(restate_server, tmp_path) as one:
        yield one


@pytest.fixture
async def front(s3_server: SwiftServer) -> AsyncIterator[S3Front]:
    async with fronted(s3_server) as proxy:
        yield proxy


@dataclass
class Bucket:
    """A worker with an S3 store, and what clients do with it."""

    deps: WorkerDeps
    store: S3Store
    project_id: str
    workspace_id: str

    @property
    def context_path(self) -> str:
        return contexts.path_of(self.project_id, SHA256)

    async def announce(self) -> str:
        """The path of a new upload of the archive."""

        def write(connection: Connection) -> str:
            now = now_ms()
            contexts.announce(
                connection, project_id=self.project_id, sha256=SHA256, size_bytes=1, now=now, expires_at=now + HOUR_MS
            )
            return uploads.announce(
                connection, context_path=self.context_path, project_id=self.project_id, now=now, ttl_ms=900_000
            )

        return await self.deps.db.write(write)

    async def upload(self, content: bytes) -> str:
        """Announces and uploads; the path."""
        path = await self.announce()
        await put(self.store, path, content)
        return path

    async def build(self, status: BuildStatus = BuildStatus.PENDING) -> str:
        """Records a build of the archive; its id."""
        build_id = new_id("bld")

        def write(connection: Connection) -> None:
            connection.execute(
                insert(builds_table).values(
                    id=build_id, workspace_id=self.workspace_id, project_id=self.project_id, attempt=0, status=status,
                    build_context_path=self.context_path, dockerfile_path="Dockerfile", target="", platform="",
                    build_args_json={}, image_ref="", traceparent="", created_at=now_ms(),
                )
            )  # fmt: skip

        await self.deps.db.write(write)
        return build_id

    async def outcome(self, build_id: str) -> tuple[str, str | None]:
        """Of the check, with the error of the build."""
        checked = await check(self.deps, build_id)
        build = await self.deps.db.read(builds.get, build_id)
        assert build is not None
        return checked.outcome, build.error_code

    async def fetched(self) -> tuple[int, bytes]:
        """What a builder gets."""
        url = self.store.presign_get(self.context_path, ttl_s=60)
        async with aiohttp.ClientSession() as http, http.get(URL(url, encoded=True)) as response:
            return response.status, await response.read()


@pytest.fixture
async def bucket(harness: WorkerHarness, s3_server: SwiftServer, front: S3Front) -> AsyncIterator[Bucket]:
    store = s3_server.config(url=front.url).open()
    checker = ContextChecker(store)
    await preparing.prepare(store)
    deps = replace(harness.deps, store=store, checker=checker)
    yield Bucket(deps, store, harness.project_id, harness.workspace_id)
    await checker.close()
    await store.close()


async def test_an_upload_becomes_the_context(bucket: Bucket) -> None:
    """Promise: the builder reads verified bytes from a path that nobody can upload to, and nothing else stays."""
    path, build_id = await bucket.upload(ARCHIVE), await bucket.build()
    assert await bucket.store.head(bucket.context_path) is None
    for _ in range(2):
        assert await bucket.outcome(build_id) == ("good", None)
    assert await bucket.fetched() == (200, ARCHIVE)
    assert await bucket.store.head(path) is None
    assert await bucket.deps.db.read(uploads.paths) == set()


async def test_a_second_put_after_the_check_changes_nothing(bucket: Bucket) -> None:
    """Promise: who keeps an upload URL can't replace what was checked, nor what is built from it later."""
    path, build_id = await bucket.upload(ARCHIVE), await bucket.build()
    assert await bucket.outcome(build_id) == ("good", None)
    await put(bucket.store, path, OTHER)  # the URL still lives
    assert await bucket.outcome(await bucket.build()) == ("good", None)
    assert await bucket.fetched() == (200, ARCHIVE)


@pytest.mark.parametrize("order", [(ARCHIVE, OTHER), (OTHER, ARCHIVE), (OTHER, ARCHIVE, OTHER)])
async def test_of_several_uploads_the_true_one_counts(bucket: Bucket, order: tuple[bytes, ...]) -> None:
    """Promise: a client that uploads other bytes for a content neither slips them in nor keeps the honest one out."""
    for content in order:
        await bucket.upload(content)
    await bucket.announce()  # and one that was never sent
    assert await bucket.outcome(await bucket.build()) == ("good", None)
    assert await bucket.fetched() == (200, ARCHIVE)
    assert await bucket.store.list("uploads") == []


async def test_wrong_and_missing_uploads_end_the_build(bucket: Bucket) -> None:
    """Promise: each has its words, and the wrong bytes are gone."""
    await bucket.announce()
    assert await bucket.outcome(await bucket.build()) == ("refused", "object.not_found")
    await bucket.upload(OTHER)
    assert await bucket.outcome(await bucket.build()) == ("refused", "context.wrong_content")
    assert await bucket.store.list() == []


async def test_a_context_that_got_lost_is_taken_in_once_more(bucket: Bucket) -> None:
    """Promise: a verdict of before is not taken for an archive: what a bucket's lifecycle deleted is stored again."""
    await bucket.upload(ARCHIVE)
    assert await bucket.outcome(await bucket.build()) == ("good", None)
    await bucket.store.delete(bucket.context_path)
    await bucket.upload(ARCHIVE)
    assert await bucket.outcome(await bucket.build()) == ("good", None)
    assert await bucket.fetched() == (200, ARCHIVE)


async def test_a_server_that_is_away_refuses_nothing(bucket: Bucket, front: S3Front) -> None:
    """Promise: the step fails, which is retried, and the build goes on once the server is back."""
    await bucket.upload(ARCHIVE)
    build_id = await bucket.build()
    front.is_away = True
    with pytest.raises(Unavailable, match=r"object\.unavailable"):
        await check(bucket.deps, build_id)
    front.is_away = False
    assert await bucket.outcome(build_id) == ("good", None)


async def test_abandoned_uploads_go(bucket: Bucket) -> None:
    """Promise: uploads of dead clients go after a day; those that a build waits for, and foreign objects, stay."""
    path = await bucket.upload(ARCHIVE)
    foreign = f"uploads/{new_id('proj')}/x.tar.gz"
    await put(bucket.store, foreign, b"of another installation")
    left_over = f"uploads/{bucket.project_id}/x.tar.gz"
    await put(bucket.store, left_over, b"its row is gone")
    build_id = await bucket.build()

    async def stored_after(hours: int) -> set[str]:
        later = replace(bucket.deps, clock=lambda: now_ms() + hours * HOUR_MS)
        await delete_expired(later)
        return {info.path for info in await bucket.store.list()}

    assert await stored_after(0) == {path, foreign, left_over}
    assert await stored_after(2) == {path, foreign}
    assert await stored_after(30) == {path, foreign}
    await bucket.deps.db.write(builds.finish, build_id, BuildStatus.CANCELLED, now_ms())
    assert await stored_after(30) == {foreign}
