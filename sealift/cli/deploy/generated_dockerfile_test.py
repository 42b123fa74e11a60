"""`sealift deploy`, `build` and `init` in a directory without a Dockerfile."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from sealift.cli.conftest import Program
from sealift.client.context import GENERATED_DOCKERFILE, scan
from sealift.client.errors import InputError
from sealift.client.fingerprint import fingerprint
from sealift.client.testing import FakeServer

APP = "from flask import Flask\napp = Flask(__name__)\n"
PLAN = "no Dockerfile: Python 3.12 by requirements.txt, starts gunicorn --threads 8 app:app (app.py; gunicorn is added)"


@pytest.fixture
def flask(sealift: Program) -> Program:
    """A directory with a Flask app and no Dockerfile."""
    (sealift.cwd / "Dockerfile").unlink()
    sealift.files(app_DOT_py=APP, requirements_DOT_txt="flask\n")
    return sealift


def sent(server: FakeServer, number: int = -1) -> dict[str, str]:
    """The files of the archive of a deployment."""
    content = server.store.objects[server.created[number].build_context.build_context_path]
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        files = ((entry.name, tar.extractfile(entry)) for entry in tar.getmembers() if entry.isfile())
        return {name: file.read().decode() for name, file in files if file}


async def test_a_deploy(flask: Program, server: FakeServer) -> None:
    """Promise: the plan is one line, the generated Dockerfile is sent and named, and the directory is unchanged."""
    flask.files(node_modules__x_DOT_js="", _DOT_venv__pyvenv_DOT_cfg="", _DOT_env="A=1")
    done = await flask("deploy")
    assert done.code == 0, done.err
    assert PLAN in done.err
    assert "no .dockerignore: everything except .git, .env, installed packages is sent" in done.err
    assert server.created[0].build_context.dockerfile_path == GENERATED_DOCKERFILE
    files = sent(server)
    assert set(files) == {"app.py", "requirements.txt", GENERATED_DOCKERFILE}
    assert files[GENERATED_DOCKERFILE].splitlines()[1] == "FROM python:3.12-slim"
    assert not (flask.cwd / ".sealift").exists()


async def test_an_unchanged_tree(flask: Program, server: FakeServer) -> None:
    """Promise: the same tree gives the same archive, which is sent once; another base image gives another one."""
    for _ in range(2):
        assert (await flask("deploy")).code == 0
    first, second = (made.build_context for made in server.created)
    assert (first.build_context_path, first.tree_sha256) == (second.build_context_path, second.tree_sha256)
    assert (await flask("deploy", "--base-image", "own/python:3")).code == 0
    assert server.created[2].build_context.tree_sha256 != first.tree_sha256
    assert "FROM own/python:3\n" in sent(server)[GENERATED_DOCKERFILE]


async def test_a_dry_run(flask: Program, server: FakeServer) -> None:
    """Promise: --dry-run shows the plan and the generated file without a server; with --json also its text."""
    flask.files(Procfile="web: gunicorn app:app\nworker: python w.py", requirements_DOT_txt="gunicorn\nflask")
    done = await flask("deploy", "--dry-run")
    assert "no Dockerfile: Python 3.12 by requirements.txt, starts gunicorn app:app (Procfile)" in done.err
    assert "starts worker beside it (Procfile)" in done.err
    assert GENERATED_DOCKERFILE in done.out
    [result] = (await flask("build", "--dry-run", "--json")).events
    plan = result["build_plan"]
    assert (plan["kind"], plan["title"], plan["because"]) == ("python", "Python 3.12", "requirements.txt")
    assert plan["dockerfile"].endswith('CMD ["gunicorn", "app:app"]\n')
    assert not server.created


async def test_settings_of_the_file(flask: Program, server: FakeServer) -> None:
    """Promise: base images, build arguments and the command of sealift.toml are used."""
    flask.files(
        sealift_DOT_toml='project = "hello"\n[build]\nbase_python = "own/py:{version}"\nargs = {API = "x"}\n'
        '[run]\ncommand = ["python", "w.py"]\n'
    )
    assert (await flask("deploy")).code == 0
    text = sent(server)[GENERATED_DOCKERFILE]
    assert "FROM own/py:3.12\n" in text
    assert "ARG API\n" in text
    assert text.endswith('CMD ["python", "w.py"]\n')


async def test_processes_of_the_procfile(flask: Program, server: FakeServer) -> None:
    """Promise: its further lines are processes, unless sealift.toml has [processes]; init says how to keep them."""
    flask.files(Procfile="web: gunicorn app:app\nworker: python w.py $X\n")
    done = await flask("deploy")
    assert "starts worker beside it (Procfile)" in done.err
    (worker,) = server.created[0].settings.processes.values
    assert (worker.name, list(worker.command.values)) == ("worker", ["sh", "-c", "exec python w.py $X"])
    assert not worker.HasField("replicas")
    flask.files(sealift_DOT_toml='project = "hello"\n[processes]\n')
    done = await flask("deploy")
    assert "beside it" not in done.err
    assert server.created[1].settings.HasField("processes")
    assert not server.created[1].settings.processes.values
    flask.files(sealift_DOT_toml='project = "hello"\n[processes.clock]\ncommand = "tick"\nreplicas = 2\n')
    assert (await flask("deploy")).code == 0
    (clock,) = server.created[2].settings.processes.values
    assert (clock.name, list(clock.command.values), clock.replicas) == ("clock", ["tick"], 2)
    flask.files(sealift_DOT_toml='project = "hello"\n')
    written = await flask("init", "--dockerfile")
    assert '[processes.worker]\ncommand = ["sh", "-c", "exec python w.py $X"]' in written.err


async def test_two_candidates_without_a_terminal(flask: Program, server: FakeServer) -> None:
    """Promise: both are named with the setting that decides, and nothing is created; the setting decides."""
    flask.files(package_DOT_json='{"scripts": {"start": "node a.js"}}')
    (flask.cwd / "sealift.toml").unlink()
    done = await flask("deploy", "--create", "--json")
    assert (done.code, done.events[-1]["code"]) == (2, "context.ambiguous")
    for words in ("Python 3.12 by requirements.txt", "Node 22 by package.json", 'kind = "python"'):
        assert words in done.events[-1]["message"]
    assert set(server.projects) == {"hello"}
    flask.files(sealift_DOT_toml='project = "hello"\n[build]\nkind = "node"\n')
    assert (await flask("deploy")).code == 0
    assert "FROM node:22-slim" in sent(server)[GENERATED_DOCKERFILE]


async def test_two_candidates_at_a_terminal(flask: Program, server: FakeServer) -> None:
    """Promise: a user at a terminal is asked once, and told how the answer is kept."""
    flask.files(package_DOT_json='{"scripts": {"start": "node a.js"}}')
    flask.env["TERM"] = "xterm"
    async with flask.at_terminal("deploy") as terminal:
        await terminal.until(b"Which one")
        terminal.type(b"2\r")
        assert await terminal.end() == 0
    shown = " ".join(terminal.text.split())
    assert "1 Python 3.12 by requirements.txt" in shown
    assert "2 Node 22 by package.json" in shown
    assert 'kind = "node" in sealift.toml answers this next time' in shown
    assert "FROM node:22-slim" in sent(server)[GENERATED_DOCKERFILE]


async def test_what_does_not_go_together(flask: Program) -> None:
    """Promise: a stage, or a file in the place of the generated one, is refused; an unused base image is said."""
    done = await flask("deploy", "--target", "run")
    assert done.code == 2
    assert "there is no stage 'run'" in done.err
    flask.files(_DOT_sealift__Dockerfile="FROM scratch")
    assert "[context.name_taken]" in (await flask("deploy")).err
    flask.files(Dockerfile="FROM scratch")
    done = await flask("deploy", "--base-image", "x")
    assert done.code == 0
    assert "--base-image is not used: the app has a Dockerfile" in done.err


async def test_other_dockerfiles_are_meant(flask: Program, server: FakeServer) -> None:
    """Promise: a Dockerfile under another name is not passed over, unless [build] kind says so."""
    flask.files(Dockerfile_DOT_dev="FROM scratch")
    assert "`sealift deploy --dockerfile Dockerfile.dev` uses it" in (await flask("deploy")).err
    flask.files(sealift_DOT_toml='project = "hello"\n[build]\nkind = "python"\n')
    assert (await flask("deploy")).code == 0


async def test_init_writes_it(flask: Program, server: FakeServer) -> None:
    """Promise: `init --dockerfile` writes what a deploy would generate; the next deploy uses the file."""
    assert (await flask("deploy")).code == 0
    done = await flask("init", "--dockerfile")
    assert done.code == 0, done.err
    assert PLAN in done.err
    assert (flask.cwd / "Dockerfile").read_text() == sent(server)[GENERATED_DOCKERFILE]
    assert (await flask("deploy")).code == 0
    assert not server.created[1].build_context.HasField("dockerfile_path")
    again = await flask("init", "--dockerfile")
    assert (again.code, "[context.dockerfile_exists]" in again.err) == (2, True)


async def test_init_says_the_plan(flask: Program) -> None:
    """Promise: `init` says how the directory would be built, and what is not sent."""
    (flask.cwd / "sealift.toml").unlink()
    flask.files(_DOT_env="A=1")
    done = await flask("init")
    assert PLAN in done.err
    assert "`sealift env import .env` sets its variables" in done.err
    assert done.err.endswith("next: sealift deploy --create\n")


def test_a_generated_file_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    """Promise: a tree with another generated Dockerfile is another tree, also of the same size."""
    (tmp_path / "app.py").touch()
    prints = {fingerprint(scan(tmp_path, generated=text)) for text in ("FROM a\n", "FROM b\n", "FROM a\n")}
    assert len(prints) == 2


def test_an_ignore_file_decides_alone(tmp_path: Path) -> None:
    """Promise: with a .dockerignore, what it does not exclude is sent."""
    for name in (".env", "app.py", "x.log"):
        (tmp_path / name).touch()
    (tmp_path / ".dockerignore").write_text("*.log\n")
    context = scan(tmp_path, generated="FROM a\n")
    paths = [entry.path for entry in context.files]
    assert paths == [".dockerignore", ".env", GENERATED_DOCKERFILE, "app.py"]
    with pytest.raises(InputError, match=r"has no Dockerfile"):
        scan(tmp_path)
    assert json.dumps(context.dockerfile) == f'"{GENERATED_DOCKERFILE}"'
