"""Promise: with build logs in ClickHouse everything works as with the file, through the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg.telemetry.clickhouse.testing import PASSWORD, USER, ClickHouseServer
from tests.harness import apps
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

LINES = 2000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    running = ClickHouseServer(tmp_path_factory.mktemp("clickhouse"))
    running.start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def stack(engine_socket: str, server: ClickHouseServer) -> Iterator[Stack]:
    """A stack of its own: the setting is the supervisor's."""
    telemetry = f'url = "{server.url}"\nusername = "{USER}"\npassword = "{PASSWORD}"'
    with Stack(engine_socket, toml=f'[telemetry]\nbackend = "clickhouse"\n{telemetry}\n') as one:
        yield one


def events(out: str, kind: str) -> list[dict[str, object]]:
    return [event for event in map(json.loads, out.splitlines()) if event["event"] == kind]


def test_a_deploy_is_followed_and_its_log_read_again(stack: Stack, project: str, tmp_path: Path) -> None:
    """Every line reaches the deploy that follows and `sealift logs`, in order, once; no file keeps them."""
    printed = [f"line {n} of 2000" for n in range(1, LINES + 1)]
    build = f"RUN for n in $(seq 1 {LINES}); do echo line $n of {LINES}; done"
    done = stack.deploy(apps.app(tmp_path / "app", build=build), project)
    assert done.code == 0, done.err
    followed = [event["text"] for event in events(done.out, "build_line")]
    assert [text for text in followed if text in set(printed)] == printed
    read = stack.sealift("logs", str(done.last_json["deployment_id"]), "--build", "--json")
    assert read.code == 0, read.err
    texts = [event["text"] for event in map(json.loads, read.out.splitlines()) if "text" in event]
    assert [text for text in texts if text in set(printed)] == printed
    assert list(stack.state.glob("telemetry.db*")) == []
    assert PASSWORD not in "".join((stack.state / "logs" / f"{name}.log").read_text() for name in ("api", "worker"))


def test_a_server_that_is_away_costs_lines_and_not_the_deploy(
    stack: Stack, server: ClickHouseServer, project: str, tmp_path: Path
) -> None:
    """Killed in the middle of a build, and back before its end: the app is live, and the log names the loss."""
    build = "RUN echo before; sleep 4; for n in $(seq 1 50); do echo meanwhile; done; sleep 8; echo after"
    deploying = stack.start_cli("deploy", str(apps.app(tmp_path / "app", build=build)), "--project", project, "--json")
    running = (
        "SELECT b.id FROM builds b JOIN projects p ON p.id = b.project_id WHERE p.slug = ? AND b.status = 'running'"
    )
    ((build_id,),) = eventually(lambda: stack.rows(running, project), what="the build runs")
    eventually(lambda: "before" in stack.sealift("logs", build_id, "--build").out, what="a line")
    server.kill()
    try:
        eventually(
            lambda: "build log not stored" in (stack.state / "logs" / "worker.log").read_text(),
            what="the worker meets the fault",
        )  # fmt: skip
    finally:
        server.start()
    done = finish(deploying)
    assert done.code == 0, done.err
    read = stack.sealift("logs", build_id, "--build")
    assert "lines and steps before this one are missing" in read.out, read.out
    assert "after" in read.out
