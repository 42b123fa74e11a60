"""Promise: builds on a private engine are bounded: each hostile one ends with words that name its bound, and live apps,
the control plane and other builds go on meanwhile."""

import gzip
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg import cgroups
from svc.standalone import engine
from svc.standalone.statedir import StateDir
from tests.harness import apps
from tests.harness.load import Load
from tests.harness.stack import CliResult, Stack, finish
from tests.harness.wait import eventually

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a private engine started"),
]

BUILD_TIMEOUT_S = 60
BOUNDS = (
    "[builds]\nmemory_mib = 256\npids = 400\ndisk_mib = 128\n"
    f"[limits]\nbuild_slots = 8\nbuild_timeout_s = {BUILD_TIMEOUT_S}\n"
)
MEMORY, DISK, PIDS = "[builds] memory_mib", "([builds] disk_mib)", "([builds] pids)"
TIME = "limits.build_timeout_s"

FORK_BOMB = "RUN printf 'while :; do /bin/sh /bomb & done\\n' >/bomb; /bin/sh /bomb; sleep 300"
HOG = 'RUN awk "BEGIN { s = \\"x\\"; while (1) s = s s }"'
FILLER = "RUN cat /dev/zero >/filler"
BUSY_LOOP = "RUN while :; do :; done"

HOSTILE = {
    "fork-bomb": (FORK_BOMB, "build.pids_limit", PIDS),
    "hog": (HOG, "build.command_failed", MEMORY),
    "filler": (FILLER, "build.disk_limit", DISK),
    "busy-loop": (BUSY_LOOP, "build.timed_out", TIME),
}
# Prints more than Docker 20.10 passes on, so that the reason has to come another way than by the output.
LOUD_BOMB = (
    "RUN printf 'while :; do /bin/sh /bomb & done\\n' >/bomb;"
    " yes 'a line that is printed again and again' & sleep 2; /bin/sh /bomb; sleep 300"
)
OTHERS = {
    "deleted": ("RUN exec 3>/gone; rm /gone; cat /dev/zero >&3", "build.disk_limit", DISK),
    "cache-mount": ("RUN --mount=type=cache,target=/cache cat /dev/zero >/cache/filler", "build.disk_limit", DISK),
    "zip-bomb": ("COPY bomb.gz /\nRUN zcat /bomb.gz >/all", "build.disk_limit", DISK),
    "many-files": (
        'RUN awk \'BEGIN { while (n++ < 1000000) { f = "/many-" n; printf "" >f; close(f) } }\'',
        "build.disk_limit",
        DISK,
    ),
    "shared-memory": ("RUN dd if=/dev/zero of=/dev/shm/x bs=1M", "build.command_failed", "holds 64 MiB"),
    "tmpfs": ("RUN --mount=type=tmpfs,target=/t dd if=/dev/zero of=/t/x bs=1M", "build.command_failed", MEMORY),
    "sleeper": ("RUN sleep 100000", "build.timed_out", TIME),
    "printer": ("RUN yes 'a line that is printed again and again, without an end'", "build.timed_out", TIME),
    "loud-bomb": (LOUD_BOMB, "build.pids_limit", PIDS),
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack with an engine of its own and small bounds."""
    with Stack("", toml=BOUNDS) as one:
        yield one


def start(stack: Stack, directory: Path, project: str, build: str) -> "subprocess.Popen[str]":
    made = stack.sealift("projects", "create", project)
    assert made.code == 0, made.err
    app = apps.app(directory / project, build=build)
    (app / "bomb.gz").write_bytes(gzip.compress(bytes(300 << 20), 1))
    return stack.start_cli("deploy", str(app), "--project", project, "--json")


def assert_named(done: CliResult, code: str, bound: str) -> None:
    assert done.code != 0
    assert (done.last_json["code"], bound in done.last_json["message"]) == (code, True), done.last_json


def assert_apps_go_first(stack: Stack, deployment_id: str) -> None:
    """Builds have a control group that gives way to everybody else, and apps have another one."""
    network = engine.private_bridge(StateDir(stack.state))
    hierarchy = cgroups.here()
    assert hierarchy
    group = hierarchy.group("cpu", engine.cgroup_parent(network))
    assert group
    eventually(lambda: (group / "cpu.idle").read_text() == "1\n", what="builds wait for others")
    (container,) = stack.containers(deployment_id)
    apps_group = hierarchy.group("cpu", f"{engine.apps_cgroup(network)}/{container['Id']}")
    assert apps_group
    assert (apps_group / "cgroup.procs").read_text()


def test_four_hostile_builds_at_once(stack: Stack, tmp_path: Path) -> None:
    """No request of a live app fails, a rollback works meanwhile, and each build names the bound that it hit."""
    assert stack.sealift("projects", "create", "live").code == 0
    live = apps.app(tmp_path / "live", "one")
    assert stack.deploy(live, "live").code == 0
    apps.edit(live, "two")
    done = stack.deploy(live, "live")
    assert done.code == 0
    assert_apps_go_first(stack, done.last_json["deployment_id"])
    with Load(stack.url("live"), rate_per_s=50, max_s=BUILD_TIMEOUT_S + 60) as asking:
        running = {name: start(stack, tmp_path, name, build) for name, (build, _, _) in HOSTILE.items()}
        query = "SELECT 1 FROM builds WHERE status = 'running'"
        eventually(lambda: stack.rows(query), what="builds run")
        back = stack.sealift("rollback", "--project", "live", "--json", timeout_s=30)
        assert back.code == 0, back.err
        assert stack.get("live").body == "one"
        ended = {name: finish(process, timeout_s=BUILD_TIMEOUT_S + 60) for name, process in running.items()}
    assert asking.failures == []
    assert set(asking.bodies) == {"one", "two"}
    for name, (_, code, bound) in HOSTILE.items():
        assert_named(ended[name], code, bound)
    assert asking.slowest_s(0.99) < 5.0


def test_other_hostile_builds(stack: Stack, tmp_path: Path) -> None:
    """What fills the disk by other ways, memory as files, what never ends; two at a time, since memory is shared."""
    left = list(OTHERS.items())
    while left:
        some, left = left[:2], left[2:]
        running = {name: start(stack, tmp_path, name, build) for name, (build, _, _) in some}
        for name, (_, code, bound) in some:
            assert_named(finish(running[name], timeout_s=BUILD_TIMEOUT_S + 60), code, bound)
