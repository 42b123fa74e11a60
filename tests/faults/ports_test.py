"""Promise: a kill between seeing a port and recording it leaves one record, and the deploy ends as ready."""

from pathlib import Path

import pytest

from tests.harness import apps
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("killed", [("krane",), ("api",), ("api", "worker", "krane", "restate")], ids="-".join)
def test_kill_9_while_a_port_is_adopted(stack: Stack, project: str, tmp_path: Path, killed: tuple[str, ...]) -> None:
    """Killed while the open ports settle, before the report, and once more when the record is there."""
    directory = apps.app(tmp_path / "app", "one", command="exec /bin/busybox httpd -f -p 3000 -h /www")
    running = stack.start_cli("deploy", str(directory), "--project", project, "--json")
    place = "JOIN deployments d ON d.id = deployment_id JOIN projects p ON p.id = d.project_id WHERE p.slug = ?"
    starting = f"SELECT i.replica FROM instances i {place}"
    recorded = f"SELECT dp.port FROM deployment_ports dp {place}"
    eventually(lambda: stack.rows(starting, project), within_s=60, what="the instance starts")
    stack.kill(*killed)
    eventually(lambda: stack.rows(recorded, project), within_s=60, what="the port is recorded")
    stack.kill(*killed)
    finish(running, timeout_s=120)
    status = (
        "SELECT d.status, d.notices_json FROM deployments d JOIN projects p ON p.id = d.project_id WHERE p.slug = ?"
    )
    eventually(lambda: stack.rows(status, project)[0][0] == "ready", within_s=90, what="the deploy is ready")
    assert stack.rows(recorded, project) == [(3000,)]
    assert stack.rows(status, project)[0][1].count("[run] port = 3000") == 1
    eventually(lambda: stack.get(project).body == "one", what="the app answers")
