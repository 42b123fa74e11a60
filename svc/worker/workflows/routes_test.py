"""What a wait for routes reports of a region."""

from pathlib import Path

from sqlalchemy import Connection

from pkg.db.testing import fresh_database
from pkg.desired.capabilities import TOPOLOGY
from pkg.feed import queries as feed
from pkg.regions import krane_replicas
from pkg.regions import queries as regions
from pkg.testing.sample_project import add_sample_project, record_deploy
from svc.worker.workflows import instances, routes

NOW = 1_700_000_000_000


async def test_what_a_region_does_not_support_is_not_applied(tmp_path: Path) -> None:
    """Promise: a region that skipped a change is named, with the next step, though it applied all the others."""

    def run(connection: Connection) -> list[str]:
        deployment = record_deploy(connection, add_sample_project(connection), image="nginx:1.27", now=NOW)
        instances.put(connection, deployment, "nginx:1.27", ["local"], NOW)
        version = feed.head(connection).version
        explained: list[str] = []

        def explain() -> None:
            explained.append(routes.explain_not_applied(connection, deployment.id, version, [], 60, NOW))

        krane_replicas.applied(connection, "local", version, [], NOW, unsupported=[version])
        explain()
        krane_replicas.applied(connection, "local", version, [], NOW, unsupported=[version + 1])
        explain()
        regions.register(
            connection,
            name="local",
            krane_instance_id="k",
            krane_version="0",
            runtime="docker",
            engine="",
            now=NOW,
            capabilities=[TOPOLOGY.capability],
        )
        explain()
        return explained

    db = fresh_database(tmp_path)
    try:
        skipped, fine, lacking = await db.write(run)
    finally:
        await db.close()
    assert "the krane of region local does not support change" in skipped
    assert "upgrade krane there" in skipped
    assert "applied too late" in fine
    assert "does not support 'feed.route/1'" in lacking
