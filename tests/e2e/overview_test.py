"""`status`, `diff`, `open` and `logs -f` of an environment, as a user sees them over two deploys and a rollback."""

import json
from pathlib import Path
from typing import Any

from tests.harness import apps
from tests.harness.stack import Stack, finish
from tests.harness.wait import eventually

# Envoy's figures are read every 10 s.
COUNTED_WITHIN_S = 60


def _speaking(directory: Path, word: str) -> Path:
    return apps.app(directory, word, command=f"echo {word} begins; exec /bin/busybox httpd -f -p $PORT -h /www")


def test_an_environment_over_two_deploys_and_a_rollback(stack: Stack, project: str, tmp_path: Path) -> None:
    """Promise: each command is right about what is live, what is warm and what differs; no value is shown."""

    def sealift(*words: str) -> str:
        done = stack.sealift(*words, "--project", project)
        assert done.code == 0, done.err
        return done.out

    def set_token(value: str) -> None:
        done = finish(stack.start_cli("env", "set", "TOKEN", "--project", project, stdin=value))
        assert done.code == 0, done.err

    def overview() -> Any:
        return json.loads(sealift("status", "--json"))

    assert "nothing yet; to deploy" in sealift("status")
    set_token("secret-4715-value")
    first = stack.deploy(_speaking(tmp_path / "app", "one"), project).last_json["deployment_id"]
    following = stack.start_cli("logs", "--project", project, "--follow", "--json", "--since", "1h")
    assert following.stdout is not None

    def next_of(deployment_id: str) -> str:
        """The next line of an instance of this deployment; others are passed."""
        assert following.stdout is not None
        for line in following.stdout:
            found = json.loads(line)
            if found["instance_id"].startswith(deployment_id.replace("_", "-")):
                return str(found["text"])
        raise AssertionError("the follower has ended")

    assert next_of(first) == "one begins"
    set_token("secret-4716-value")
    second = stack.deploy(_speaking(tmp_path / "app", "two"), project).last_json["deployment_id"]
    assert next_of(second) == "two begins"

    found = overview()
    assert (found["live"]["deployment_id"], found["live"]["instances"][0]["state"]) == (second, "healthy")
    assert [one["deployment_id"] for one in found["standby"]] == [first]
    assert (found["under_way"], found["last_failed"], found["unknown"]) == ([], None, [])
    assert sealift("open") == f"{stack.url(project)}\n"
    assert stack.get(project).body == "two"
    eventually(lambda: overview()["requests"]["total"]["requests"], within_s=COUNTED_WITHIN_S, what="a request counts")
    eventually(
        lambda: [one["state"] for one in overview()["certificates"].values()] == ["valid"], what="its certificate"
    )
    text = sealift("status")
    assert f"live        {second}" in text
    assert f"warm        {first}" in text
    assert "certificate " in text

    differs = sealift("diff", first, "live")
    assert ["variable", "TOKEN", "set", "set,", "another", "value"] in [line.split() for line in differs.splitlines()]
    assert "secret-" not in differs + sealift("diff", first, second, "--json")
    assert sealift("diff", second, "live") == ""

    def moved() -> str:
        """The follower's note, once it has moved on."""
        assert following.stderr is not None
        return following.stderr.readline()

    assert moved() == f"{second} is live now, in place of {first}: its lines follow\n"
    sealift("rollback")
    assert stack.get(project).body == "one"
    assert overview()["live"]["deployment_id"] == first
    assert moved() == f"{first} is live now, in place of {second}: its lines follow\n"
    assert sealift("stop", "--live", "--yes").strip() == first
    ended = finish(following, timeout_s=COUNTED_WITHIN_S)
    assert (ended.code, ended.err) == (0, f"no instance of {first} runs any more\n")
    assert "begins" not in ended.out
    assert "is stopped; to start it again: sealift promote" in stack.sealift("open", "--project", project).err
