"""Promise: an app that ignores $PORT goes live, and what would be a guess is told instead."""

import json
from pathlib import Path

from tests.harness import apps
from tests.harness.stack import Stack

SERVE = "exec /bin/busybox httpd -f -p {port} -h /www"


def test_a_fixed_port_goes_live_and_stays(stack: Stack, project: str, tmp_path: Path) -> None:
    """The observed port is used, shown, noted with the line to write, and used again by a cold rollback."""
    directory = apps.app(tmp_path / "app", "one", command=SERVE.format(port=3000), build="EXPOSE 3000")
    first = stack.deploy(directory, project)
    assert first.code == 0, first.err
    assert stack.get(project).body == "one"
    assert any("[run] port = 3000" in notice for notice in first.last_json["notices"])
    ident = first.last_json["deployment_id"]
    shown = json.loads(stack.sealift("status", ident, "--json").out)
    assert (shown["port"], shown["port_is_adopted"]) == (3000, True)
    assert "3000, adopted" in stack.sealift("status", ident).out
    assert stack.rows("SELECT port FROM deployment_ports WHERE deployment_id = ?", ident) == [(3000,)]

    second = stack.deploy(apps.app(tmp_path / "next", "two"), project, "--port", str(apps.PORT))
    assert second.code == 0, second.err
    assert second.last_json["notices"] == []
    assert stack.sealift("stop", ident).code == 0
    assert stack.sealift("rollback", "--project", project, "--to", ident).code == 0
    assert stack.get(project).body == "one"


def test_two_ports_are_told_while_it_waits(stack: Stack, project: str, tmp_path: Path) -> None:
    """Neither is made public; the note comes before the end, the reason names both."""
    command = f"/bin/busybox httpd -p 9000 -h /www; {SERVE.format(port=3000)}"
    toml = "[run.health_check]\nstart_timeout_s = 6\n"
    done = stack.deploy(apps.app(tmp_path / "app", command=command, toml=toml), project)
    assert done.code == 5, done.err
    said = "the app listens on ports 3000 and 9000, and nothing says which one is meant"
    events = [json.loads(line) for line in done.out.splitlines()]
    assert any(said in event.get("text", "") for event in events[:-1])
    assert said in done.last_json["message"]
