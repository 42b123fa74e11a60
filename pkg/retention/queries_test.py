"""Promise: an image that is taken is named by no row any more, and what is routed keeps its image."""

from sqlalchemy import Connection, update

from pkg.db import Database
from pkg.deployments.status import RunState, Status
from pkg.deployments.tables import deployments
from pkg.images import ImageRef, StoredImage
from pkg.retention.queries import take_unused
from pkg.testing.sample_project import add_sample_project, deployment_of, record_deploy

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
