"""Promise: a backup made as docs/operating.md says is a whole installation: what it knows is live again, no more."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scenes import assert_no_orphans
from tests.harness import apps
from tests.harness.stack import ROOT, Stack
from tests.harness.wait import eventually

SERVE = "exec /bin/busybox httpd -f -p $PORT -h /www"
STATE_DIR, ARCHIVE = "/var/lib/sealift", "sealift-backup.tgz"


@pytest.fixture
def stack(engine_socket: str) -> Iterator[Stack]:
    """A stack of its own: it goes back in time."""
    with Stack(engine_socket) as one:
        yield one


def test_restore(stack: Stack, tmp_path: Path) -> None:
    """Back to the backup: live version, variables, keys, rollback; nothing of the time after it stays anywhere."""
    word = tmp_path / "word"
    word.write_text("sealed")
    for project in ("web", "slow"):
        assert stack.sealift("projects", "create", project).code == 0
        assert stack.sealift("env", "set", "WORD", "--file", str(word), "--project", project).code == 0
    early_key = stack.sealift("keys", "create", "early", "--role", "deploy").out.strip()
    first, live = _deploy(stack, tmp_path, "web", "one"), _deploy(stack, tmp_path, "web", "two")
    # under way while the backup is made: a part of it, as everything else
    starting = apps.app(tmp_path / "slow", command=f"sleep 5; {SERVE}", build="STOPSIGNAL SIGKILL")
    slow = stack.deploy(starting, "slow", "--detach").last_json["deployment_id"]
    eventually(lambda: stack.containers(slow), what="an instance starts")
    assert stack.status_of(slow) == "deploying"

    _stop_serving_on(stack)
    assert stack.get("web").body == "two sealed", "apps answer while the backup is made"
    archive = tmp_path / ARCHIVE
    _run_documented("tar", "-czf", stack, archive)
    stack.up()

    # what the backup does not know: a deployment, a project, a key; and the live one of then is stopped
    assert stack.sealift("projects", "create", "later").code == 0
    late_key = stack.sealift("keys", "create", "late", "--role", "deploy").out.strip()
    unknown = [_deploy(stack, tmp_path, "web", "three"), _deploy(stack, tmp_path, "later", "later")]
    assert stack.sealift("stop", live).code == 0
    eventually(lambda: not stack.containers(live), what="the live one of then is stopped")

    _stop_serving_on(stack)
    # without --apps: if only the directory was lost, the containers still run
    assert stack.command("down").returncode == 0
    stack.state.rename(tmp_path / "old")
    stack.state.mkdir(mode=0o700)
    _run_documented("tar", "-xpzf", stack, archive)
    restored = stack.command("restored")
    assert restored.returncode == 0, restored.stderr
    stack.up()

    eventually(lambda: stack.get("web").body == "two sealed", what="the live one of then is live again")
    for ident in unknown:
        eventually(lambda i=ident: not stack.containers(i), what=f"{ident} is removed")  # type: ignore[misc]
    assert stack.get("later").status == 404
    eventually(lambda: stack.status_of(slow) == "ready", what="what was under way then ends now")
    assert stack.get("slow").body == "hello"
    assert len(stack.containers(slow)) == 1
    assert_no_orphans(stack)
    assert stack.sealift("ls", "--project", "web", env={"SEALIFT_API_KEY": early_key}).code == 0
    assert "auth." in stack.sealift("ls", "--project", "web", env={"SEALIFT_API_KEY": late_key}).err

    newest = _deploy(stack, tmp_path, "web", "four")
    assert stack.get("web").body == "four sealed"
    for target, body in ((live, "two sealed"), (first, "one sealed"), (newest, "four sealed")):
        back = stack.sealift("rollback", "--project", "web", "--to", target)
        assert back.code == 0, back.err
        assert stack.get("web").body == body
    assert_no_orphans(stack)


def _deploy(stack: Stack, folder: Path, project: str, word: str) -> str:
    """A version that answers its word and the variable's value; its id."""
    # as process 1 it would sit out the time that it is given to stop
    say = f'echo "{word} $WORD" > /www/index.html; {SERVE}'
    done = stack.deploy(apps.app(folder / project, command=say, build="STOPSIGNAL SIGKILL"), project)
    assert done.code == 0, done.err
    return str(done.last_json["deployment_id"])


def _stop_serving_on(stack: Stack) -> None:
    """What `systemctl stop` does to a supervisor with --keep-serving."""
    supervisor = stack.process("supervisor")
    os.kill(supervisor.pid, signal.SIGUSR1)
    eventually(lambda: not (stack.state / "run" / "supervisor.pid").exists(), what="the services ended")


def _run_documented(program: str, flag: str, stack: Stack, archive: Path) -> None:
    """Runs the one line of the page that begins with the program and has the flag, with our paths in place of its."""
    page = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    (line,) = [text for text in page.splitlines() if text.startswith(f"{program} ") and f" {flag} " in text]
    words = [word.replace(STATE_DIR, str(stack.state)).replace(ARCHIVE, str(archive)) for word in shlex.split(line)]
    assert shutil.which(program)
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
