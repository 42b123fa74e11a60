"""`sealift diff` as a process."""

import json

import pytest

from sealift.cli.conftest import Program
from sealift.client.testing import FakeServer
from sealift.ctrl.v1 import common_pb2
from sealift.ctrl.v1 import deployment_pb2 as pb

COMPARISONS = {
    "DATABASE_URL": pb.VARIABLE_COMPARISON_DIFFERENT,
    "NEW": pb.VARIABLE_COMPARISON_ONLY_SECOND,
    "OLD": pb.VARIABLE_COMPARISON_ONLY_FIRST,
    "SAME": pb.VARIABLE_COMPARISON_SAME,
}


@pytest.fixture
async def two(sealift: Program, server: FakeServer) -> None:
    """dep_1 and dep_2, which is live, with other settings, image and variables."""
    for image in ("x:1", "x:2"):
        assert (await sealift("deploy", "--image", image)).code == 0
    first, second = (server.deployments[ident].deployment for ident in ("dep_1", "dep_2"))
    for one in (first, second):
        one.settings.CopyFrom(common_pb2.RuntimeSettings(memory_mib=512, replicas=1))
        one.settings.health_check.path = "/"
    second.settings.memory_mib = 1024
    second.settings.command.values.extend(["python", "my app.py"])
    second.settings.health_check.path = "/healthz"
    first.git_commit.commit_sha, first.git_commit.commit_message = "a" * 40, "Fix\n\nlong"
    second.git_commit.commit_sha, second.git_commit.commit_message = "b" * 40, "Add"
    second.image_ref = "engine:sha256:" + "2" * 64
    server.compared_variables = [
        pb.ComparedVariable(name=name, comparison=comparison) for name, comparison in COMPARISONS.items()
    ]


@pytest.mark.usefixtures("two")
async def test_what_differs(sealift: Program) -> None:
    """Promise: a row for each difference, none for what is the same; of variables whether, never what."""
    done = await sealift("diff", "dep_1", "live")
    assert done.code == 0
    header, *rows = done.out.splitlines()
    assert header.split() == ["dep_1", "dep_2"]
    assert [" ".join(row.split()) for row in rows] == [
        "commit aaaaaaaaaaaa Fix bbbbbbbbbbbb Add",
        "image engine:sha256:1 engine:sha256:222222222222",
        "image as named x:1 x:2",
        "command - python 'my app.py'",
        "health_check.path / /healthz",
        "memory_mib 512 1024",
        "variable DATABASE_URL set set, another value",
        "variable NEW - set",
        "variable OLD set -",
    ]
    assert done.err == "1 variable is the same in both\n"


@pytest.mark.usefixtures("two")
async def test_how_processes_differ(sealift: Program, server: FakeServer) -> None:
    """Promise: each setting of each process is compared by its name."""
    first, second = (server.deployments[ident].deployment for ident in ("dep_1", "dep_2"))
    for one, replicas in ((first, 1), (second, 3)):
        command = common_pb2.StringList(values=["python", "w.py"])
        one.settings.processes.values.add(name="worker", command=command, replicas=replicas, memory_mib=64)
    second.settings.processes.values.add(name="clock", command=common_pb2.StringList(values=["tick", "a b"]))
    done = await sealift("diff", "dep_1", "live")
    rows = [" ".join(row.split()) for row in done.out.splitlines()]
    assert [row for row in rows if row.startswith("processes.")] == [
        "processes.clock.command - tick 'a b'",
        "processes.worker.replicas 1 3",
    ]


@pytest.mark.usefixtures("two")
async def test_as_json(sealift: Program) -> None:
    """Promise: both deployments whole, each variable with its comparison, and the differences by name."""
    found = json.loads((await sealift("diff", "dep_1", "dep_2", "--json")).out)
    assert (found["deployment"]["deployment_id"], found["other"]["settings"]["memory_mib"]) == ("dep_1", 1024)
    assert found["variables"][0] == {"name": "DATABASE_URL", "comparison": "different"}
    assert {"name": "variable NEW", "deployment": None, "other": "set"} in found["differences"]


@pytest.mark.usefixtures("two")
async def test_a_narrow_terminal(sealift: Program, server: FakeServer) -> None:
    """Promise: on a terminal no line is longer than it is wide; both ends of a value stay."""
    server.deployments["dep_1"].deployment.settings.command.values.extend(["run", "x" * 200, "end"])
    sealift.env["COLUMNS"] = "80"
    async with sealift.at_terminal("diff", "dep_1", "dep_2") as terminal:
        assert await terminal.end() == 0
    shown = terminal.text.replace("\r\n", "\n").splitlines()
    assert max(map(len, shown)) <= 80
    assert any(line.startswith("command") and "x… end" not in line and "end" in line for line in shown)


async def test_nothing_differs_and_what_is_refused(sealift: Program, server: FakeServer) -> None:
    """Promise: sameness is said on stderr; what can't be compared is named."""
    assert "nothing is live in hello · production" in (await sealift("diff", "live", "live")).err
    await sealift("deploy", "--image", "x")
    done = await sealift("diff", "dep_1", "live")
    assert (done.code, done.out, done.err) == (0, "", "image, commit, settings and variables are the same\n")
    unknown = await sealift("diff", "dep_1", "dep_nope", "--json")
    assert (unknown.code, unknown.events[-1]["code"]) == (1, "deployment.not_found")
    assert "is a build" in (await sealift("diff", "bld_1", "dep_1")).err
    assert (await sealift("diff", "dep_1")).code == 2
