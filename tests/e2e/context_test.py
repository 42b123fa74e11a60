"""Promise: what a build gets is the tree as it is: modes, dates and links, as of the engine's own build of it."""

import io
import json
import os
import subprocess
import sys
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from pkg.docker.sdk import open_client
from tests.harness import apps
from tests.harness.http import get
from tests.harness.stack import ROOT, CliResult, Stack
from tests.harness.wait import eventually

_LIST = (
    'RUN cd /tree && find . | while IFS= read -r p; do echo "ENTRY $(stat -c \'%a %u:%g %Y %F\' "$p") $p '
    '$(readlink "$p")"; done'
)


def _build_lines(done: CliResult) -> list[str]:
    events = [json.loads(line) for line in done.out.splitlines()]
    return [event["text"] for event in events if event["event"] == "build_line"]


def _zoo(root: Path) -> None:
    """Files, directories and links of every kind that a tree may hold, owned by someone else."""
    for number, mode in enumerate((0o400, 0o600, 0o644, 0o666, 0o700, 0o750, 0o755, 0o777, 0o1644, 0o2755, 0o4755)):
        (root / f"file{mode:o}").write_text("x" * number)
        os.chown(root / f"file{mode:o}", 1234, 1234)
        (root / f"file{mode:o}").chmod(mode)
        os.utime(root / f"file{mode:o}", (0, 1.4e9 + number + 0.9))
    for mode in (0o700, 0o755, 0o1777, 0o2775):
        for directory in (root / f"empty{mode:o}", root / f"full{mode:o}"):
            directory.mkdir()
            directory.chmod(mode)
        (root / f"full{mode:o}" / "file").write_text("x")
        os.utime(root / f"empty{mode:o}", (0, 1.3e9))
    (root / "full755" / "deep").mkdir()
    for link, target in (("link", "file644"), ("full755/up", "../file600"), ("dangling", "nowhere"), ("loop", "loop")):
        (root / link).symlink_to(target)
        os.utime(root / link, (0, 1.2e9), follow_symlinks=False)
    (root / "hard").hardlink_to(root / "file600")
    for name, date in (("first", 315_619_200), ("old", 946_684_800), ("next", 2e9), ("late", 4_294_967_296)):
        (root / name).write_text(name)
        os.utime(root / name, (date, date))
    for name in ("grüße 🛳", "long" * 60):
        (root / name).write_text("x")
        os.utime(root / name, (0, 1.1e9))


def _engines_own(socket: str, directory: Path) -> list[str]:
    """What the engine's builder makes of the same tree, sent by a tar program."""
    tarred = subprocess.run(
        ["tar", "-C", str(directory), "--owner=0", "--group=0", "--numeric-owner", "--format=pax", "-c", "."],
        check=True, capture_output=True,
    )  # fmt: skip
    with open_client(socket, timeout_s=60) as client:
        built: list[dict[str, Any]] = list(
            client.build(fileobj=io.BytesIO(tarred.stdout), custom_context=True, decode=True, rm=True, forcerm=True)
        )
        output = "".join(str(event.get("stream", event.get("error", ""))) for event in built)
        ident = next((event["aux"]["ID"] for event in built if "aux" in event), None)
        assert ident, output
        client.remove_image(ident, force=True)
    return output.splitlines()


def _entries(lines: list[str]) -> dict[str, list[str]]:
    """Mode, owner, date, kind and target by path; of directories with content no date."""
    found = {}
    for line in lines:
        if line.startswith("ENTRY "):
            facts, _, path = line.rstrip().removeprefix("ENTRY ").partition(" ./")
            mode, owner, date, kind = facts.split(" ", 3)
            is_filled = kind == "directory" and path.startswith(("full", "www"))
            if path:
                found[path] = [mode, owner, "" if is_filled else date, kind]
    return found


def test_a_zoo_arrives_as_in_the_engines_own_build(
    stack: Stack, project: str, engine_socket: str, tmp_path: Path
) -> None:
    """Modes, owners, dates, links and empty directories are what the engine makes of a plain tar of the tree."""
    directory = apps.app(tmp_path / "app", build=f"COPY . /tree\n{_LIST}")
    _zoo(directory)
    own = _entries(_engines_own(engine_socket, directory))
    done = stack.deploy(directory, project)
    assert done.code == 0, done.out
    ours = _entries(_build_lines(done))
    assert len(ours) > 30
    for path in ("file2755", "file4755"):  # which the engine's classic builder takes away
        assert (ours[path].pop(0), own[path].pop(0)) == (path.removeprefix("file"), "755")
    assert ours == own
    assert ours["file600"] == ["600", "0:0", "1400000001", "regular file"]
    assert ours["empty1777"][:3] == ["1777", "0:0", "1300000000"]


def test_another_user_finds_the_modes_of_the_tree(stack: Stack, project: str, tmp_path: Path) -> None:
    """A directory open to all can be written by the app's own user, and a private key can't be read by it."""
    directory = apps.app(
        tmp_path / "app",
        build="COPY . /tree\nRUN mkdir -p /etc && echo app:x:1234:1234::/: > /etc/passwd && > /etc/group\n"
        "USER 1234\nRUN touch /tree/uploads/x; cat /tree/key/id || echo as it should",
    )
    (directory / "uploads").mkdir()
    (directory / "uploads").chmod(0o777)
    (directory / "key").mkdir()
    (directory / "key/id").write_text("k")
    (directory / "key/id").chmod(0o400)
    done = stack.deploy(directory, project)
    assert done.code == 0, done.out
    assert "as it should" in _build_lines(done)


def test_changed_files_are_newer_for_caches_and_browsers(stack: Stack, project: str, tmp_path: Path) -> None:
    """A cache mount and a browser see each change, also one of the same length that brings an old date along."""
    rule = (
        "COPY www /www\nRUN --mount=type=cache,target=/cache,id=" + project + " "
        "if [ ! -e /cache/out ] || [ /www/index.html -nt /cache/out ]; then cp /www/index.html /cache/out; fi; "
        "mkdir /built; cp /cache/out /built/built.html"
    )
    serve = "cp /built/built.html /www; exec /bin/busybox httpd -f -p $PORT -h /www"
    directory = apps.app(tmp_path / "app", build=rule, command=serve, unique=False)
    page = directory / "www" / "index.html"
    modified = 1_500_000_000
    dates = []
    for version in (1, 2, 3, 4):
        text = f"version {version} of {project}"  # a content that came before would come with the date of then
        page.write_text(f"{text}\n")
        if version != 3:  # as `cp -p` and `mv` bring it
            os.utime(page, (modified, modified))
        done = stack.deploy(directory, project)
        assert done.code == 0, done.out
        assert get(f"{stack.url(project)}/built.html").body == text
        answer = stack.get(project)
        assert answer.body == text
        dates.append(parsedate_to_datetime(answer.headers["last-modified"]).timestamp())
    assert dates[0] == modified
    assert dates == sorted(dates)
    assert len(set(dates)) == 4
    assert dates[-1] <= time.time() + 1


def test_events_written_into_the_directory_itself(stack: Stack, project: str, tmp_path: Path) -> None:
    """The recipe for CI, in the app's folder, next to a program that appends to a log there."""
    directory = apps.app(tmp_path / "app", toml=f'project = "{project}"\n', build="COPY . /tree\nRUN ls -a /tree")
    logging = subprocess.Popen(
        ["/bin/sh", "-c", "while :; do echo a line of a log >> dev.log; done"], cwd=directory, start_new_session=True
    )
    try:
        eventually((directory / "dev.log").exists, what="the log is written")
        with (directory / "events.jsonl").open("wb") as events:
            code = subprocess.run(
                [sys.executable, "-m", "sealift.cli.main", "deploy", "--json"], cwd=directory, stdout=events,
                env={**stack.env, "PYTHONPATH": str(ROOT)}, timeout=90, check=False,
            ).returncode  # fmt: skip
    finally:
        logging.kill()
        logging.wait()
    lines = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    assert (code, lines[-1]["status"]) == (0, "ready")
    listed = [event["text"] for event in lines if event["event"] == "build_line"]
    assert {"dev.log", "events.jsonl"} <= set(listed)
    assert "sealift.toml" not in listed
