"""What the error of a deployment says when its region has run out of something."""

from pathlib import Path

import pytest
from sqlalchemy import Connection

from pkg.db.testing import fresh_database
from pkg.regions import queries as regions
from pkg.regions.queries import InstanceRow
from pkg.testing.sample_project import add_sample_project, record_deploy
from svc.worker.workflows import instances

NOW = 1_700_000_000_000
WAITING = InstanceRow("local", "", 0, "i-0", "starting", "", None, [], "", "", 0, "", NOW)


@pytest.mark.parametrize(
    ("waits_for", "code", "advice"),
    [
        ("addresses", "instance.no_address", "`sealift stop DEPLOYMENT`"),
        ("disk", "instance.no_disk", "free disk on the machine"),
        ("capacity", "instance.no_capacity", "adds nodes or raises the quota"),
        ("", "", ""),
    ],
)
async def test_what_ran_out_decides_the_code(tmp_path: Path, waits_for: str, code: str, advice: str) -> None:
    """Promise: a start without room, and without a standby to stop, fails with what ran out and what to do."""

    def run(connection: Connection) -> tuple[str, str]:
        deployment = record_deploy(connection, add_sample_project(connection), image="nginx:1.27", now=NOW)
        instances.put(connection, deployment, "nginx:1.27", ["local"], NOW)
        row = InstanceRow(**{**WAITING.__dict__, "deployment_id": deployment.id, "waits_for": waits_for})
        regions.report(connection, row, NOW)
        found = instances.assess(connection, deployment, NOW).code
        return found, instances.explain_failure(connection, deployment, found, None, NOW).message

    db = fresh_database(tmp_path)
    try:
        found, message = await db.write(run)
    finally:
        await db.close()
    assert found == code
    assert advice in message
