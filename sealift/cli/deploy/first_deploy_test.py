"""`sealift deploy` in a directory that was never deployed, or that can't be."""

import pytest

from sealift.cli.conftest import Program
from sealift.client.testing import FakeServer
from sealift.client.testing_deployment import FakeDeployment
from sealift.ctrl.v1 import deployment_pb2

URL = "http://hello.sealift.localhost:7480"


async def test_a_directory_that_is_not_there(sealift: Program, server: FakeServer) -> None:
    """Promise: a mistyped path is reported before any question about projects."""
    for path, said in (
        ("nosuchdir", "the directory nosuchdir does not exist"),
        ("app.py", "app.py is not a directory"),
    ):
        (sealift.cwd / "sealift.toml").unlink(missing_ok=True)
        done = await sealift("deploy", path)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
        assert "project" not in done.err


async def test_a_first_deploy_makes_the_project(sealift: Program, server: FakeServer) -> None:
    """Promise: --create creates project and sealift.toml from the directory's name; without it nothing is created."""
    (sealift.cwd / "sealift.toml").unlink()
    asked = await sealift("deploy")
    assert asked.code == 2
    assert "`sealift deploy --create` creates one" in asked.err
    assert set(server.projects) == {"hello"}
    done = await sealift("deploy", "--create", "--json")
    assert (done.code, done.events[-1]["status"]) == (0, "ready")
    assert 'project = "app"' in (sealift.cwd / "sealift.toml").read_text()
    assert set(server.projects) == {"hello", "app"}
    assert (await sealift("deploy", "--create")).code == 0
    assert (await sealift("deploy", "--create", "--project", "other")).code == 0
    assert "other" in server.projects


async def test_a_first_deploy_takes_over_no_other_app(sealift: Program, server: FakeServer) -> None:
    """Promise: two apps in directories called "app" don't replace each other: a derived name must be new."""
    (sealift.cwd / "sealift.toml").unlink()
    assert (await sealift("projects", "create", "app")).code == 0
    done = await sealift("deploy", "--create")
    assert done.code == 2
    assert "the project 'app' exists already" in done.err
    assert "\n  sealift deploy --project app\n" in done.err
    assert not (sealift.cwd / "sealift.toml").exists()
    assert not server.created
    assert (await sealift("deploy", "--create", "--project", "app")).code == 0


async def test_what_cannot_be_deployed_makes_no_project(sealift: Program, server: FakeServer) -> None:
    """Promise: in a directory without a Dockerfile and without an app, --create creates nothing."""
    for name in ("sealift.toml", "Dockerfile", "app.py"):
        (sealift.cwd / name).unlink()
    sealift.files(README_DOT_md="")
    for words in ((), ("--project", "other")):
        done = await sealift("deploy", "--create", *words)
        assert (done.code, "there is no Dockerfile, and none of requirements.txt" in done.err) == (2, True)
    assert set(server.projects) == {"hello"}
    assert not (sealift.cwd / "sealift.toml").exists()


async def test_another_dockerfile_is_named_once(sealift: Program) -> None:
    """Promise: a Dockerfile under another name is suggested in one line."""
    (sealift.cwd / "Dockerfile").rename(sealift.cwd / "DockerFile")
    done = await sealift("deploy")
    assert done.code == 2
    assert "`sealift deploy --dockerfile DockerFile` uses it" in done.err
    assert done.err.count("--dockerfile") == 1


async def test_a_near_match_is_no_dead_end(sealift: Program) -> None:
    """Promise: a suggestion is accompanied by the command that creates the project."""
    done = await sealift("deploy", "--project", "helo")
    assert done.code == 1
    assert "did you mean 'hello'? Otherwise create it with: sealift projects create helo" in done.err


@pytest.mark.parametrize(("answer", "code"), [(b"\r", 0), (b"n\r", 130), (b"\x03", 130)])
async def test_a_first_deploy_asks(sealift: Program, server: FakeServer, answer: bytes, code: int) -> None:
    """Promise: at a terminal, the first deploy asks one question; a no creates nothing."""
    (sealift.cwd / "sealift.toml").unlink()
    sealift.env["TERM"] = "xterm"
    async with sealift.at_terminal("deploy") as terminal:
        await terminal.until(b"[Y/n]")
        terminal.type(answer)
        assert await terminal.end() == code
    shown = terminal.text
    assert "Create the project 'app'" in " ".join(shown.split())
    assert ("nothing was done" in shown) == answer.startswith(b"n")
    assert ("app" in server.projects) == (code == 0)
    assert (sealift.cwd / "sealift.toml").exists() == (code == 0)


@pytest.mark.parametrize("code", ["instance.no_command", "instance.command_ended"])
async def test_an_image_without_a_server_is_told_where_one_is_named(
    sealift: Program, server: FakeServer, code: str
) -> None:
    """Promise: if the image's command is at fault, the start command from a Procfile or package.json is suggested."""

    async def ends(fake: FakeDeployment) -> None:
        await fake.begin("deploying")
        failed = deployment_pb2.DEPLOYMENT_STATUS_FAILED
        await fake.end(failed, code=code, message="the app exited with code 0: 'node'", step="deploying")

    server.scenario = ends
    assert "CMD" not in (await sealift("deploy")).err
    sealift.files(package_DOT_json='{"scripts": {"start": "node server.js"}}')
    done = await sealift("deploy", "--json")
    assert done.code == 5
    assert done.events[-1]["next_steps"][0] == (
        'package.json has the start script “node server.js”: end the Dockerfile with CMD ["npm", "start"], '
        "or set [run] command in sealift.toml to the same array"
    )


async def test_a_missing_dockerfile_is_told_with_what_lies_there(sealift: Program) -> None:
    """Promise: without a Dockerfile and an app, those in subdirectories are listed with the next step."""
    for name in ("Dockerfile", "app.py"):
        (sealift.cwd / name).unlink()
    sealift.files(compose_DOT_yaml="", api__Dockerfile="FROM scratch", web__index_DOT_html="")
    done = await sealift("deploy")
    assert done.code == 2
    said = " ".join(done.err.split())
    assert "`sealift deploy api` uses it" in said
    assert "found apps in web: `sealift deploy web`" in said
    assert "[context.no_dockerfile]" in said
