"""Promise: an attempt writes only while it is the newest; secrets go with the end; contexts in use stay."""

from sqlalchemy import Connection

from pkg.builds import contexts, queries, uploads
from pkg.builds.model import BuildStatus, RecordedImage, SealedSecret
from pkg.db import Database
from pkg.testing.sample_project import SampleProject, add_sample_project, deployment_of, record_deploy


def a_build(c: Connection, sample: SampleProject) -> str:
    build_id = record_deploy(c, sample).build_id
    assert build_id is not None
    return build_id


async def test_only_the_newest_attempt_ends_a_build(db: Database) -> None:
    """A builder that was given up can't overwrite what the next one made."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        build_id = a_build(c, sample)
        queries.add_secret(c, SealedSecret(build_id, "token", b"k", b"\x00sealed"))
        assert queries.claim_attempt(c, build_id, 5) == 1
        assert queries.claim_attempt(c, build_id, 6) == 2
        assert [b.started_at for b in queries.in_flight(c)] == [5]
        assert not queries.finish(c, build_id, BuildStatus.FAILED, 7, attempt=1)
        assert queries.secrets(c, build_id) == [SealedSecret(build_id, "token", b"k", b"\x00sealed")]
        image = RecordedImage("engine:sha256:1", "sealift/proj:bld", "linux/arm64", ("provenance",))
        assert queries.finish(c, build_id, BuildStatus.SUCCEEDED, 8, attempt=2, image=image)
        assert queries.secrets(c, build_id) == []
        assert queries.in_flight(c) == []
        assert queries.claim_attempt(c, build_id, 9) is None
        assert not queries.request_cancel(c, build_id, 9)
        ended = queries.get(c, build_id)
        assert ended is not None
        assert (ended.image_ref, ended.image_name) == ("engine:sha256:1", "sealift/proj:bld")
        assert (ended.platform, ended.attestations_json) == ("linux/arm64", ["provenance"])

    await db.write(run)


async def test_a_cancelled_build_begins_no_attempt(db: Database) -> None:
    """A cancel is remembered from its first request on."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        build_id = a_build(c, sample)
        assert queries.request_cancel(c, build_id, 5)
        assert queries.request_cancel(c, build_id, 6)
        found = queries.get(c, build_id, workspace_id=sample.workspace_id)
        assert found is not None
        assert found.cancel_requested_at == 5
        assert queries.get(c, build_id, workspace_id="ws_other") is None
        assert queries.claim_attempt(c, build_id, 7) is None

    await db.write(run)


async def test_builds_are_listed_newest_first_and_counted(db: Database) -> None:
    """A page continues where the one before ended."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        ids = [a_build(c, sample) for _ in range(3)]
        newest_first = sorted(ids, reverse=True)
        assert [b.id for b in queries.page(c, sample.project_id, limit=2)] == newest_first[:2]
        assert [b.id for b in queries.page(c, sample.project_id, before_id=newest_first[1])] == newest_first[2:]
        waiting = queries.count(c, sample.workspace_id, BuildStatus.PENDING)
        assert waiting == 3
        assert queries.count(c, sample.workspace_id, BuildStatus.PENDING, created_before=1) == 0

    await db.write(run)


async def test_contexts_in_use_stay(db: Database) -> None:
    """An expired context is forgotten once no build in flight needs it; announcing it again extends its life."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        one = {"project_id": sample.project_id, "size_bytes": 7}
        used = contexts.announce(c, sha256="0" * 64, now=1, expires_at=10, **one)  # type: ignore[arg-type]
        free = contexts.announce(c, sha256="1" * 64, now=1, expires_at=10, **one)  # type: ignore[arg-type]
        contexts.mark_checked(c, used.path, 2)
        deployment = record_deploy(c, sample)
        assert contexts.announce(c, sha256="0" * 64, now=3, expires_at=20, **one).checked_at == 2  # type: ignore[arg-type]
        assert contexts.forget_expired(c, 30) == [free.path]
        assert contexts.paths(c) == {used.path}
        build_id = deployment_of(c, deployment.id).build_id
        assert build_id is not None
        queries.finish(c, build_id, BuildStatus.CANCELLED, 31)
        assert contexts.forget_expired(c, 31) == [used.path]

    await db.write(run)


async def test_uploads_of_a_context_are_bounded_and_abandoned_ones_go(db: Database) -> None:
    """Of one context the newest eight count; an upload goes after a day, or its URL's life, unless a build waits."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        context = contexts.announce(
            c, project_id=sample.project_id, sha256="0" * 64, size_bytes=7, now=1, expires_at=10
        )
        made = [
            uploads.announce(c, context_path=context.path, project_id=sample.project_id, now=now, ttl_ms=900_000)
            for now in range(10)
        ]
        assert len(set(made)) == 10
        assert uploads.of_context(c, context.path) == made[:1:-1]
        long = uploads.announce(
            c, context_path="other", project_id=sample.project_id, now=9, ttl_ms=2 * uploads.KEEP_MS
        )
        build_id = a_build(c, sample)
        later = uploads.KEEP_MS + 100
        assert uploads.forget_abandoned(c, later) == []
        queries.finish(c, build_id, BuildStatus.CANCELLED, later)
        assert sorted(uploads.forget_abandoned(c, later)) == sorted(made[2:])
        assert uploads.paths(c) == {long}
        assert uploads.forget_of_context(c, "other") == [long]
        assert uploads.paths(c) == set()

    await db.write(run)


async def test_builds_for_production_are_told_from_others(db: Database) -> None:
    """Previews, builds without a deployment and unknown builds are not for production."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        live = a_build(c, sample)
        preview = record_deploy(c, sample, environment_id=sample.preview_id).build_id
        assert preview is not None
        assert queries.for_production(c, [preview, live, "bld_none", ""]) == [live]
        assert queries.for_production(c, []) == []

    await db.write(run)
