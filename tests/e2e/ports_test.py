"""Promise: an app that ignores $PORT goes live, and an ambiguous port is reported, never guessed."""

import json
from pathlib import Path

from tests.harness import apps
from tests.harness.load import Load
from tests.harness.stack import Stack
from tests.harness.wait import eventually

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


def test_a_switch_onto_an_adopted_port_loses_no_request(stack: Stack, project: str, tmp_path: Path) -> None:
    """From the port it was handed to another one, and back by rollback, under steady load with zero failed requests."""
    assert stack.deploy(apps.app(tmp_path / "app", "one"), project).code == 0
    with Load(stack.url(project)) as load:
        eventually(lambda: load.bodies["one"] > 20, what="load on version one")
        deployed = stack.deploy(apps.app(tmp_path / "next", "two", command=SERVE.format(port=3000)), project)
        eventually(lambda: load.bodies["two"] > 50, what="load on the adopted port")
        before = load.bodies["one"]
        rolled_back = stack.sealift("rollback", "--project", project)
        eventually(lambda: load.bodies["one"] > before + 50, what="load on version one again")
    assert deployed.code == 0, deployed.err
    assert any("[run] port = 3000" in notice for notice in deployed.last_json["notices"])
    assert rolled_back.code == 0, rolled_back.err
    assert load.failures == []


def test_two_ports_are_told_while_it_waits(stack: Stack, project: str, tmp_path: Path) -> None:
    """Neither is made public; the note comes before the end, the reason names both."""
    command = f"/bin/busybox httpd -p 9000 -h /www; {SERVE.format(port=3000)}"
    toml = "[run.health_check]\nstart_timeout_s = 6\n"
    done = stack.deploy(apps.app(tmp_path / "app", command=command, toml=toml), project)
    assert done.code == 5, done.err
    message = "the app listens on ports 3000 and 9000, and nothing says which one is meant"
    events = [json.loads(line) for line in done.out.splitlines()]
    assert any(message in event.get("text", "") for event in events[:-1])
    assert message in done.last_json["message"]
