"""Promise: apps reach neither each other nor the machine; builds are bounded; a killed engine leaves nothing."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pkg import cgroups
from svc.standalone import build_limits, engine, leftovers
from svc.standalone.egress import firewall
from svc.standalone.egress.testing import reaches
from svc.standalone.isolation import scope_tag
from svc.standalone.statedir import StateDir
from tests.harness import apps
from tests.harness import engine as asked
from tests.harness.stack import Stack
from tests.harness.wait import eventually

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="packet rules and private engines need root"),
]

BUILDS = "[builds]\nmemory_mib = 192\npids = 64\n"


@dataclass(frozen=True)
class Instance:
    """A running container, seen from the machine."""

    pid: int
    address: str
    gateway: str

    def reaches(self, address: str, port: int) -> bool:
        return reaches(Path(f"/proc/{self.pid}/ns/net"), address, port)


@pytest.fixture(scope="module")
def private() -> Iterator[Stack]:
    """A stack with an engine of its own."""
    with Stack("", toml=BUILDS) as one:
        yield one


@contextmanager
def listening() -> Iterator[int]:
    """A port on every address of this machine, such as an open database or admin page."""
    with socket.create_server(("0.0.0.0", 0), backlog=1024) as one:  # nothing accepts them
        yield one.getsockname()[1]


def live(stack: Stack, directory: Path, slug: str) -> Instance:
    made = stack.sealift("projects", "create", slug)
    assert made.code == 0, made.err
    done = stack.deploy(apps.app(directory / slug, slug), slug)
    assert done.code == 0, done.err
    (container,) = stack.containers(done.last_json["deployment_id"])
    found = asked.inside(stack.engine_socket, container["Id"])
    (network,) = found["NetworkSettings"]["Networks"].values()
    return Instance(found["State"]["Pid"], network["IPAddress"], network["Gateway"])


def isolation(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.command("status", "--json").stdout)["isolation"]
    return found


def assert_apart(stack: Stack, one: Instance, other: Instance, others: list[str]) -> None:
    """Two apps are up and serve; neither reaches the other, nor what listens on the machine."""
    with listening() as port:
        assert reaches(Path("/proc/self/ns/net"), one.gateway, port)  # it does listen
        assert reaches(Path("/proc/self/ns/net"), other.address, 8080)
        for source, target in ((one, other), (other, one)):
            closed = [(target.address, 8080), (source.gateway, port), *((address, port) for address in others)]
            assert [place for place in closed if source.reaches(*place)] == []
    assert {stack.get("left").body, stack.get("right").body} == {"left", "right"}


def addresses_of_this_machine() -> list[str]:
    listed = json.loads(subprocess.check_output(["ip", "-j", "-4", "address", "show"]))
    found = [info["local"] for link in listed for info in link["addr_info"]]
    return [address for address in found if not address.startswith("127.")]


def test_apps_on_a_private_engine_are_apart(private: Stack, tmp_path: Path) -> None:
    """From inside a container: no other app, no address of the machine; status says that everything holds."""
    one, other = live(private, tmp_path, "left"), live(private, tmp_path, "right")
    assert_apart(private, one, other, addresses_of_this_machine())
    assert isolation(private)["lacks"] == []
    # rules that another program flushed come back, and the log says so
    network = engine.private_bridge(StateDir(private.state))
    subprocess.run(["iptables", "-t", "mangle", "-F", f"{network.name}-fwd"], check=True)
    subprocess.run(["iptables", "-t", "mangle", "-F", f"{network.name}-in"], check=True)
    with listening() as port:
        assert one.reaches(one.gateway, port)
        eventually(lambda: not one.reaches(one.gateway, port), what="the rules are back")
    assert "another program changed the packet rules" in private.state.with_suffix(".log").read_text()
    score = Path(f"/proc/{one.pid}/oom_score_adj").read_text().strip()
    assert score == "500"


def test_apps_on_the_machines_engine_are_apart(stack: Stack, tmp_path: Path) -> None:
    """On an engine that others use, too, the apps' own network is closed; the log says that builds are open."""
    one, other = live(stack, tmp_path, "left"), live(stack, tmp_path, "right")
    assert_apart(stack, one, other, addresses_of_this_machine())
    # by this stack's rules, on this device, not by those of the engine's owner
    route = json.loads(subprocess.check_output(["ip", "-j", "route", "get", one.address]))
    mark = f"-i {route[0]['dev']} -m comment --comment {scope_tag(StateDir(stack.state))} "
    assert mark in "\n".join(firewall._saved_now())
    (lack,) = isolation(stack)["lacks"]
    assert "RUN steps" in lack["what"]
    assert "engine.private" in lack["remedy"].replace("[engine] private", "engine.private")
    assert "RUN steps" in stack.command("status").stdout


HOG = 'RUN busybox awk "BEGIN { s = \\"x\\"; while (1) s = s s }"'
FORKS = "RUN (for i in $(seq 200); do sleep 5 & done); sleep 5; exit 3"


def test_a_build_that_needs_too_much_memory_is_told_so(private: Stack, tmp_path: Path) -> None:
    """It ends alone, with its limit and the key that raises it; the machine and the apps do not feel it."""
    assert private.sealift("projects", "create", "hog").code == 0
    done = private.deploy(apps.app(tmp_path / "hog", build=HOG), "hog")
    assert done.code == 4, done.out
    error = str(done.last_json)
    assert "ran out of memory" in error
    assert "192 MiB" in error


def test_exit_code_137_alone_is_not_out_of_memory(private: Stack, tmp_path: Path) -> None:
    """A command may end so for a reason of its own: nothing is claimed that the counters do not show."""
    assert private.sealift("projects", "create", "killed").code == 0
    done = private.deploy(apps.app(tmp_path / "app", build="RUN exit 137"), "killed")
    assert done.code == 4, done.out
    assert "exit code 137" in str(done.last_json)
    assert "ran out of memory" not in str(done.last_json)


def test_a_fork_bomb_in_a_build_stays_small(private: Stack, tmp_path: Path) -> None:
    """Processes of all builds together are bounded, and the kernel would choose them first for want of memory."""
    assert private.sealift("projects", "create", "forks").code == 0
    network = engine.private_bridge(StateDir(private.state))
    group = f"{engine.cgroup_parent(network)}/{build_limits.BUILDKIT}"
    tree = cgroups.here()
    assert tree
    cli = private.start_cli("deploy", str(apps.app(tmp_path / "app", build=FORKS)), "--project", "forks", "--json")

    def scores() -> set[str]:
        found = set()
        for pid in build_limits.pids_in(tree, group):
            try:
                found.add(Path(f"/proc/{pid}/oom_score_adj").read_text().strip())
            except OSError:
                continue
        return found

    eventually(lambda: scores() == {str(build_limits.OOM_SCORE_ADJ)}, what="steps of builds are marked")
    assert len(build_limits.pids_in(tree, group)) <= 64
    out, _ = cli.communicate(timeout=60)
    assert cli.returncode == 4, out


def test_nothing_is_left_of_a_killed_engine(tmp_path: Path) -> None:
    """`down --apps` after kill -9 of the engine, amid a build and starts: no process, group, rule or device of it."""
    with Stack("", toml=BUILDS) as one:
        state = StateDir(one.state)
        live(one, tmp_path, "left")
        network = engine.private_bridge(state)
        parent = engine.cgroup_parent(network)
        tree = cgroups.here()
        assert tree
        assert one.sealift("projects", "create", "slow").code == 0
        slow = apps.app(tmp_path / "slow", build="RUN sleep 300")
        one.start_cli("deploy", str(slow), "--project", "slow", "--json")
        eventually(lambda: build_limits.pids_in(tree, f"{parent}/{build_limits.BUILDKIT}"), what="a step runs")
        assert leftovers.shims(network.name)
        # Both at once: nothing is left that would restart it or clean up.
        for part in ("supervisor", "engine"):
            os.kill(one.process(part).pid, signal.SIGKILL)
        assert one.command("down", "--apps").returncode == 0
        assert leftovers.shims(network.name) == []
        assert build_limits.pids_in(tree, parent) == set()
        assert not any((root / parent.lstrip("/")).exists() for root in tree.mounts)
        assert not Path(f"/sys/class/net/{network.name}").exists()
        saved = "\n".join(firewall._saved_now())
        assert network.name not in saved
        assert scope_tag(state) not in saved
