"""Promise: what an app prints is on its follower's screen once and in order, whatever is killed meanwhile."""

import json
from pathlib import Path

from tests.harness import apps
from tests.harness.stack import READY_WITHIN_S, Stack, finish
from tests.harness.wait import eventually

LINES = 1200
_PRINT = (
    f"(n=0; while [ $n -lt {LINES} ]; do n=$((n+1)); echo line $n of the app; sleep 0.01; done; echo the end) & "
    "exec /bin/busybox httpd -f -p $PORT -h /www"
)


def test_a_follower_gets_every_line_once(stack: Stack, project: str, tmp_path: Path) -> None:
    """Over kill -9 of krane and of the api, and over both at once; history, grep and the newest lines agree with it."""
    deployed = stack.deploy(apps.app(tmp_path / "app", command=_PRINT), project)
    assert deployed.code == 0, deployed.err
    following = stack.start_cli("logs", "--project", project, "--follow", "--json", "--since", "1h")
    assert following.stdout is not None
    texts: list[str] = []
    for line in following.stdout:
        texts.append(json.loads(line)["text"])
        if len(texts) in (100, 400, 700):
            stack.kill(*{100: ("krane",), 400: ("api",), 700: ("krane", "api")}[len(texts)])
        if texts[-1] == "the end":
            break
    following.terminate()
    finish(following)
    expected = [f"line {n} of the app" for n in range(1, LINES + 1)] + ["the end"]
    assert [text for text in texts if text.startswith(("line", "the end"))] == expected
    eventually(stack.is_ready, within_s=READY_WITHIN_S, what="every part works again")
    history = stack.sealift("logs", "--project", project, "--since", "1h", "--json").out.splitlines()
    assert [json.loads(line)["text"] for line in history if "of the app" in line] == expected[:-1]
    found = stack.sealift("logs", "--project", project, "--grep", "line 1[01]00 of").out.splitlines()
    assert [line.split(" ", 2)[1:] for line in found] == [
        ["local/0", "line 1000 of the app"],
        ["local/0", "line 1100 of the app"],
    ]
    assert "the end" in stack.sealift("logs", "--project", project, "-n", "3").out
