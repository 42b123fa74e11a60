"""Promise: kill -9 of everything while a project is deleted: all of it goes, once, and the name can be used again."""

from pathlib import Path

import pytest

from tests.faults.scenes import scene
from tests.harness import apps
from tests.harness.stack import PROCESSES, Stack, finish
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(600)


def test_a_deletion_survives_kill_9(stack: Stack, project: str, tmp_path: Path) -> None:
    """A version is live and another one is building: both end right, nothing is left, and the slug is free."""
    here = scene(stack, project, tmp_path / "app")
    live, old = here.live_id, project
    with here.deploying("build", slow_s=30, detach=True) as building:
        cli = stack.start_cli("delete", "project", project, "--yes", "--json", "--wait-timeout", "300")
        recorded = "SELECT 1 FROM deletions WHERE project_slug = ?"
        eventually(lambda: stack.rows(recorded, old), what="the deletion is recorded")
        stack.kill(*PROCESSES)
    done = finish(cli, timeout_s=300)
    assert done.code == 0, done.err
    assert done.last_json["status"] == "done"
    assert (stack.status_of(building), stack.status_of(live)) == ("cancelled", "ready")
    for ident in (building, live):
        eventually(lambda one=ident: not stack.containers(one), what=f"the containers of {ident} are gone")  # type: ignore[misc]
    assert [host for host in stack.served_hosts() if host.startswith(project)] == []
    assert stack.get(project).status == 404
    assert stack.rows("SELECT 1 FROM routes WHERE deployment_id IN (?, ?)", building, live) == []
    assert stack.sealift("status", live).code == 1

    made = stack.sealift("projects", "create", project)
    assert made.code == 0, made.err
    again = stack.deploy(apps.app(tmp_path / "again", "again"), project, timeout_s=300)
    assert again.code == 0, again.err
    assert stack.get(project).body == "again"
