"""Promise: an image that is taken is named by no row any more, and what is routed keeps its image."""

from functools import partial

from sqlalchemy import Connection, update

from pkg.builds import queries as builds
from pkg.builds.model import BuildStatus, RecordedImage
from pkg.db import Database
from pkg.deployments.status import RunState, Status
from pkg.deployments.tables import deployments
from pkg.ids import new_id
from pkg.images import ImageRef, StoredImage, build_image
from pkg.intents import BuildIntent, record_build
from pkg.retention.queries import give_up_in_registry, projects_after, repository, take_unused
from pkg.retention.rules import FRESH_MS, KEEP_OWN_BUILDS
from pkg.testing.sample_project import SampleProject, add_sample_project, deployment_of, record_deploy

NOW = 1_700_000_000_000


async def test_an_image_is_taken_from_every_row_that_names_it(db: Database) -> None:
    """Of two ready deployments the newer stays when one is kept for each environment."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        refs = [ImageRef.parse(f"engine:sha256:{digit * 64}") for digit in "ab"]
        ids = [record_deploy(c, sample, branch=branch).id for branch in "ab"]
        for deployment_id, ref in zip(ids, refs, strict=True):
            c.execute(
                update(deployments)
                .where(deployments.c.id == deployment_id)
                .values(image_ref=str(ref), status=Status.READY, run_state=RunState.STOPPED)
            )
        stored = [StoredImage(ref, (), 1, 1) for ref in refs]
        taken = take_unused(c, stored, per_environment=1, now=NOW)
        assert [image.image_ref for image in taken] == refs[:1]
        assert [deployment_of(c, one).image_ref for one in ids] == ["", str(refs[1])]
        assert take_unused(c, stored[1:], per_environment=1, now=NOW) == []

    await db.write(run)


REGISTRY = "registry.test/apps"


def in_registry(sample: SampleProject, digit: str) -> str:
    return f"{build_image(sample.project_id, '', REGISTRY).repository}@sha256:{digit * 64}"


def built(c: Connection, sample: SampleProject, image_ref: str, age_ms: int = 2 * FRESH_MS) -> str:
    """A build without a deployment that ended; its id."""
    build_id = new_id("bld")
    record_build(
        c, build_id=build_id, workspace_id=sample.workspace_id, project_id=sample.project_id, deployment_id=None,
        intent=BuildIntent("contexts/x.tar.gz", "Dockerfile"), traceparent="", now=NOW - age_ms,
    )  # fmt: skip
    image = RecordedImage(image_ref, str(build_image(sample.project_id, build_id, REGISTRY)), "linux/amd64")
    builds.finish(c, build_id, BuildStatus.SUCCEEDED, NOW - age_ms, image=image)
    return build_id


async def test_an_image_in_the_registry_is_given_up_once(db: Database) -> None:
    """Promise: without a list of what the registry has, exactly the rows of unneeded builds there are cleared: not
    those of an engine, of another registry, or of the last hour."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        kept = [built(c, sample, in_registry(sample, "a"), FRESH_MS * 2) for _ in range(KEEP_OWN_BUILDS)]
        old = built(c, sample, in_registry(sample, "b"), FRESH_MS * 9)
        shared = built(c, sample, in_registry(sample, "a"), FRESH_MS * 9)
        others = [
            built(c, sample, ref, FRESH_MS * 9)
            for ref in (f"engine:sha256:{'c' * 64}", f"elsewhere.test/x@sha256:{'d' * 64}")
        ]
        fresh = built(c, sample, in_registry(sample, "e"), FRESH_MS // 2)
        decide = partial(give_up_in_registry, c, REGISTRY, per_environment=1, now=NOW)
        assert decide() == 1
        assert decide() == 0
        rows = [builds.get(c, one) for one in (*kept, old, shared, *others, fresh)]
        assert [row.id for row in rows if row and not row.image_ref] == [old]

    await db.write(run)


async def test_what_rows_say_of_a_repository(db: Database) -> None:
    """Promise: a repository's tags lead to the project's own builds only, every digest that a row names counts, and a
    build under way is seen."""

    def run(c: Connection) -> None:
        sample = add_sample_project(c)
        image_ref = in_registry(sample, "a")
        ours = built(c, sample, image_ref)
        record_deploy(c, sample, image=in_registry(sample, "b"))
        tags = [build_image("x", ours).tag, "cache", "bld-nothing"]
        found = repository(c, sample.project_id, REGISTRY, tags)
        assert {tag: use.id for tag, use in found.builds.items()} == {tags[0]: ours}
        assert found.referenced == {f"sha256:{digit * 64}" for digit in "ab"}
        assert not found.is_building
        assert repository(c, "proj_other", REGISTRY, tags).builds == {}
        record_deploy(c, sample, branch="b")
        assert repository(c, sample.project_id, REGISTRY, tags).is_building
        assert projects_after(c, "", 10) == [sample.project_id]
        assert projects_after(c, sample.project_id, 10) == []

    await db.write(run)
