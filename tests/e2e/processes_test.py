"""Promise: processes of sealift.toml run beside web, of the live version alone, and fail a deploy that they can't join.

On a whole stack with a Docker engine.
"""

import json
from pathlib import Path

import pytest

from tests.harness import apps
from tests.harness.http import Answer
from tests.harness.stack import Stack
from tests.harness.wait import eventually

WORKER = 'while :; do echo "$SEALIFT_PROCESS works for $NAME, port ${PORT:-none}"; sleep 1; done'


def toml(worker: str = WORKER) -> str:
    """A project file with a worker."""
    command = json.dumps(["sh", "-c", worker])
    return f"[env]\nNAME = 'one'\n[processes.worker]\ncommand = {command}\nmemory_mib = 32\n"


def workers(stack: Stack, deployment_id: str) -> list[str]:
    """Names of the containers of a deployment's worker that run."""
    found = stack.containers(f"{deployment_id}.worker")
    return sorted(one["Names"][0].lstrip("/") for one in found if one["State"] == "running")


def name_of(deployment_id: str, replica: int = 0) -> str:
    """Of a worker's instance."""
    return f"{deployment_id.replace('_', '-')}-worker-{replica}"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An app with a worker."""
    return apps.app(tmp_path / "app", "one", toml=toml())


def test_a_worker_writes_and_only_the_live_one_does(stack: Stack, project: str, directory: Path) -> None:
    """The worker runs beside web with its variables; its log is its own; after a deploy and a rollback there is one."""
    done = stack.deploy(directory, project)
    assert done.code == 0, done.err
    first = done.last_json["deployment_id"]
    assert workers(stack, first) == [name_of(first)]
    assert stack.get(project).body == "one"

    def lines() -> str | None:
        printed = stack.sealift("logs", first, "--process", "worker").out
        return printed if "works" in printed else None

    printed = eventually(lines, what="what the worker prints")
    assert "/worker/0 worker works for one, port none" in printed.splitlines()[0]
    assert "works" not in stack.sealift("logs", first, "--process", "web").out
    shown = stack.sealift("ps", "--project", project)
    assert [line.split()[:2] for line in shown.out.splitlines()[1:]] == [
        [first.replace("_", "-") + "-0", "web"],
        [name_of(first), "worker"],
    ]
    assert "worker: local: 1 healthy, 1 wanted" in shown.err
    assert "worker: local: 1 healthy" in stack.sealift("status", "--project", project).out

    before = {one["Id"] for one in stack.containers(f"{first}.worker")}
    stack.kill("krane")
    apps.edit(directory, "two")
    again = stack.deploy(directory, project)
    assert again.code == 0, again.err
    assert before >= {one["Id"] for one in stack.containers(f"{first}.worker")}, "a krane that starts adopts it"
    second = again.last_json["deployment_id"]
    eventually(lambda: not workers(stack, first) or None, what="the worker of the version before has ended")
    assert workers(stack, second) == [name_of(second)]
    assert stack.containers(first), "its web instances stay warm"

    back = stack.sealift("rollback", "--project", project)
    assert back.code == 0, back.err
    assert stack.get(project).body == "one"
    assert workers(stack, first) == [name_of(first)]
    eventually(lambda: not workers(stack, second) or None, what="the worker of what was rolled back has ended")

    down = stack.sealift("stop", "--live", "--project", project, "--yes")
    assert down.code == 0, down.err
    eventually(lambda: not (workers(stack, first) or stack.containers(first)) or None, what="nothing of it runs")


def test_a_worker_that_ends_fails_the_deploy(stack: Stack, project: str, directory: Path) -> None:
    """Nothing is switched; process, exit code and output are told with a code; what was live keeps its worker."""
    done = stack.deploy(directory, project)
    assert done.code == 0, done.err
    live = done.last_json["deployment_id"]
    apps.edit(directory, "two")
    (directory / "sealift.toml").write_text(toml("echo no queue here; exit 3"))
    failed = stack.deploy(directory, project)
    assert failed.code != 0
    assert failed.last_json["code"] == "process.ended"
    message = failed.last_json["message"]
    for part in ("process worker: the app exited with code 3 before it was healthy", "no queue here"):
        assert part in message
    assert stack.get(project).body == "one"
    ident = failed.last_json["deployment_id"]
    eventually(lambda: not (workers(stack, ident) or stack.containers(ident)) or None, what="nothing of it is left")
    assert workers(stack, live) == [name_of(live)]


def test_a_worker_is_scaled_and_restarted(stack: Stack, project: str, directory: Path) -> None:
    """Its number is the environment's; web is untouched; a restart makes both again; a deletion leaves nothing."""
    done = stack.deploy(directory, project)
    assert done.code == 0, done.err
    ident = done.last_json["deployment_id"]

    def answers() -> Answer | None:
        return answer if (answer := stack.get(project)).status == 200 else None

    scaled = stack.sealift("scale", "worker=2", "--project", project)
    assert scaled.code == 0, scaled.err
    assert "2 instances of worker in each region" in scaled.err
    assert workers(stack, ident) == [name_of(ident, 0), name_of(ident, 1)]
    assert len(stack.containers(ident)) == 1
    refused = stack.sealift("scale", "cron=2", "--project", project)
    assert "has no process 'cron': its processes are worker" in refused.err
    before = {one["Id"] for one in stack.containers(f"{ident}.worker")}
    restarted = stack.sealift("restart", "--project", project)
    assert restarted.code == 0, restarted.err
    after = {one["Id"] for one in stack.containers(f"{ident}.worker")}
    assert len(after) == 2
    assert not before & after
    assert eventually(answers, what="web serves").body == "one"
    assert stack.sealift("scale", "--process", "worker", "0", "--project", project).code == 0
    eventually(lambda: not workers(stack, ident) or None, what="no worker runs")
    apps.edit(directory, "two")
    again = stack.deploy(directory, project)
    assert again.code == 0, again.err
    second = again.last_json["deployment_id"]
    assert workers(stack, second) == []
    assert stack.sealift("scale", "worker=1", "--project", project).code == 0
    assert workers(stack, second) == [name_of(second)]
    compared = stack.sealift("diff", ident, second)
    assert "processes" not in compared.out
    deleted = stack.sealift("delete", "project", project, "--yes")
    assert deleted.code == 0, deleted.err
    assert [*stack.containers(second), *stack.containers(f"{second}.worker")] == []
