"""Promise: a directory becomes a live address; the next version takes over; the old one is one command away."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.harness import apps
from tests.harness.load import Load
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

ROOT = Path(__file__).parents[2]


def test_deploy_change_rollback_promote(stack: Stack, project: str, tmp_path: Path) -> None:
    """The life of an app: first version, second version, back, and forward again."""
    directory = apps.app(tmp_path / "app", "one")
    first = stack.deploy(directory, project)
    assert first.code == 0, first.err
    result = first.last_json
    assert result["status"] == "ready"
    assert result["url"] == stack.url(project)
    assert stack.get(project).body == "one"

    apps.edit(directory, "two")
    second = stack.deploy(directory, project)
    assert second.code == 0, second.err
    assert stack.get(project).body == "two"
    # the first version still answers under its own hostname
    own = [url for url in result["urls"] if url != result["url"]]
    assert own

    back = stack.sealift("rollback", "--project", project)
    assert back.code == 0, back.err
    assert stack.get(project).body == "one"

    # rolled back is sticky: a new version becomes ready without taking the live address
    apps.edit(directory, "three")
    third = stack.deploy(directory, project)
    assert (third.code, third.last_json["status"]) == (9, "ready"), third.err
    assert any("promote" in notice for notice in third.last_json["notices"]), third.out
    assert stack.get(project).body == "one"

    forward = stack.sealift("promote", "--project", project, "--yes")
    assert forward.code == 0, forward.err
    assert stack.get(project).body == "three"


def test_bounds_of_instances_on_an_engine(stack: Stack, project: str, tmp_path: Path) -> None:
    """With bounds an engine runs the least number; deploy and status say that it does not scale, and why."""
    bounds = "[run]\nmin_replicas = 2\nmax_replicas = 4\nmemory_mib = 16\n"
    done = stack.deploy(apps.app(tmp_path / "app", "one", toml=bounds), project)
    assert done.code == 0, done.err
    (notice,) = done.last_json["notices"]
    assert notice.startswith("region ")
    assert "no autoscaler, so min_replicas = 2 instances run" in notice
    shown = stack.sealift("status", done.last_json["deployment_id"]).out
    assert "2 to 4 at 80% CPU; " in shown
    assert ": 2 now" in shown
    assert f"notice      {notice}" in shown
    assert len(stack.containers(done.last_json["deployment_id"])) == 2


def test_switching_under_load_loses_no_request(stack: Stack, project: str, tmp_path: Path) -> None:
    """A new version goes live and is rolled back under steady load with zero failed requests."""
    directory = apps.app(tmp_path / "app", "one")
    assert stack.deploy(directory, project).code == 0
    apps.edit(directory, "two")
    with Load(stack.url(project)) as load:
        eventually(lambda: load.bodies["one"] > 20, what="load on version one")
        deployed = stack.deploy(directory, project)
        eventually(lambda: load.bodies["two"] > 50, what="load on version two")
        before = load.bodies["one"]
        rolled_back = stack.sealift("rollback", "--project", project)
        eventually(lambda: load.bodies["one"] > before + 50, what="load on version one again")
    assert deployed.code == 0, deployed.err
    assert rolled_back.code == 0, rolled_back.err
    assert load.failures == []


def test_unchanged_tree_sends_nothing(stack: Stack, project: str, tmp_path: Path) -> None:
    """The same content of the same project is not uploaded twice; another project's copy is never used."""
    directory = apps.app(tmp_path / "app")
    assert '"event": "uploaded"' in stack.deploy(directory, project).out
    again = stack.deploy(directory, project)
    assert again.code == 0, again.err
    assert '"event": "uploaded"' not in again.out
    other = f"{project}-b"
    assert stack.sealift("projects", "create", other).code == 0
    assert '"event": "uploaded"' in stack.deploy(directory, other).out


def test_detached_deploys_go_on_by_themselves(stack: Stack, project: str, tmp_path: Path) -> None:
    """--detach answers at once with the id; the deployment becomes ready without the CLI."""
    done = stack.deploy(apps.app(tmp_path / "app"), project, "--detach")
    assert done.code == 0, done.err
    ident = done.last_json["deployment_id"]
    eventually(lambda: stack.status_of(ident) == "ready", within_s=60, what="ready")


def test_interrupted_follow_leaves_the_deploy_running(stack: Stack, project: str, tmp_path: Path) -> None:
    """Ctrl-C ends the watching, not the deploy: exit 130, and the output says how to continue."""
    directory = apps.app(tmp_path / "app", build="RUN sleep 2")
    running = stack.start_cli("deploy", str(directory), "--project", project, "--json")
    assert running.stdout is not None
    ident = next(e["deployment_id"] for e in map(json.loads, running.stdout) if e["event"] == "created")
    running.send_signal(signal.SIGINT)
    done = finish(running)
    assert done.code == 130, done.err
    assert done.last_json["deployment_id"] == ident
    eventually(lambda: stack.status_of(ident) == "ready", within_s=60, what="ready")


def test_logs_are_complete_and_resumable(stack: Stack, project: str, tmp_path: Path) -> None:
    """Every line a build printed can be read afterwards, in order, once."""
    lines = "RUN for n in $(seq 1 200); do echo line-$n; done"
    done = stack.deploy(apps.app(tmp_path / "app", build=lines), project)
    assert done.code == 0, done.err
    expected = [f"line-{n}" for n in range(1, 201)]
    streamed = [e["text"] for e in map(json.loads, done.out.splitlines()) if e["event"] == "build_line"]
    assert [text for text in streamed if text.startswith("line-")] == expected
    stored = stack.sealift("logs", "--build", done.last_json["deployment_id"])
    assert stored.code == 0, stored.err
    printed = [line.strip() for line in stored.out.splitlines()]
    assert [line for line in printed if re.fullmatch(r"line-\d+", line)] == expected


def test_secrets_reach_the_build_and_nothing_else(stack: Stack, project: str, tmp_path: Path) -> None:
    """A build secret is in no log, no error, no image layer, and not in Restate's journal."""
    secret = "s3cr3t-value-4711"
    directory = apps.app(
        tmp_path / "app",
        build="RUN --mount=type=secret,id=token cat /run/secrets/token > /dev/null && cat /run/secrets/token",
    )
    done = stack.sealift(
        "deploy",
        str(directory),
        "--project",
        project,
        "--json",
        "--secret",
        "id=token,env=TOKEN",
        env={"TOKEN": secret},
    )
    assert done.code == 0, done.err
    assert secret not in done.out + done.err
    found = subprocess.run(["grep", "-rlaF", secret, str(stack.state)], capture_output=True, text=True, check=False)
    assert found.stdout == "", "the secret lies in a file of the state directory"
    assert stack.rows("SELECT * FROM build_secrets") == []


def test_variables_reach_the_app_sealed_at_rest(stack: Stack, project: str, tmp_path: Path) -> None:
    """An environment variable is handed to the app of the next deploy and lies nowhere in clear."""
    value = "pa55-4712"
    setting = subprocess.run(
        [sys.executable, "-m", "sealift.cli.main", "env", "set", "GREETING", "--project", project],
        input=value, env=stack.env, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert setting.returncode == 0, setting.stderr
    serve = 'echo "$GREETING" > /tmp/index.html; exec /bin/busybox httpd -f -p $PORT -h /tmp'
    directory = apps.app(tmp_path / "app", command=serve, build="RUN mkdir -p /tmp")
    done = stack.deploy(directory, project)
    assert done.code == 0, done.err
    assert stack.get(project).body == value
    found = subprocess.run(["grep", "-rlaF", value, str(stack.state)], capture_output=True, text=True, check=False)
    assert found.stdout == ""
