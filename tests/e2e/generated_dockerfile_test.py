"""Promise: an app without a Dockerfile goes live, as its own user, on $PORT; its dependencies are installed once."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkg.docker.sdk import open_client
from pkg.testing.wait import WAIT_S
from tests.harness.engine import inside
from tests.harness.http import get
from tests.harness.stack import Stack

APP = """\
import os

from bottle import Bottle

app = Bottle()


@app.get("/")
def index():
    return f"one, user {os.getuid()}, {os.getcwd()}, {os.environ['PYTHONUNBUFFERED']}"
"""
PROCFILE = "web: python -u serve.py\nrelease: echo migrates && true\nworker: python work.py\n"
SERVER = """\
import os
from http.server import HTTPServer, SimpleHTTPRequestHandler

HTTPServer(("", int(os.environ["PORT"])), SimpleHTTPRequestHandler).serve_forever()
"""


WHEELS = ("bottle==0.13.4", "gunicorn==23.0.0", "packaging==25.0")


@pytest.fixture(scope="module")
def base_image(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Python image that `make test` has prepared, with packages in it: builds here may have no network."""
    folder = tmp_path_factory.mktemp("base")
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(folder / "wheels"), *WHEELS]
    subprocess.run(download, check=True, timeout=int(5 * WAIT_S))
    (folder / "Dockerfile").write_text(
        f"FROM {os.environ['SEALIFT_TEST_BASE_IMAGE']}\nCOPY wheels /wheels\n"
        "ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels\n"
    )
    name = "sealift-test/python-with-wheels:1"
    client = open_client(stack.engine_socket, timeout_s=int(5 * WAIT_S))
    try:
        list(client.build(path=str(folder), tag=name, rm=True, decode=True))
        yield name
        client.remove_image(name)
    finally:
        client.close()
        shutil.rmtree(folder)


def test_a_python_app(stack: Stack, project: str, tmp_path: Path, base_image: str) -> None:
    """By its requirements and the app object in its source; a change of the code installs nothing again."""
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "requirements.txt").write_text("bottle==0.13.4\n")
    (directory / "web.py").write_text(APP)
    options = ("--base-image", base_image)
    first = stack.deploy(directory, project, *options, timeout_s=240)
    assert first.code == 0, first.out
    assert "by requirements.txt, starts gunicorn --threads 8 web:app (web.py; gunicorn is added)" in first.out
    assert stack.get(project).body == "one, user 10001, /app, 1"
    (container,) = stack.containers(first.last_json["deployment_id"])
    assert inside(stack.engine_socket, container["Id"])["Config"]["User"] == "10001:10001"

    (directory / "web.py").write_text(APP.replace("one", "two"))
    second = stack.deploy(directory, project, *options, timeout_s=240)
    assert second.code == 0, second.out
    assert stack.get(project).body.startswith("two")
    steps = [event for line in second.out.splitlines() if (event := json.loads(line))["event"] == "build_step"]
    assert {step["state"] for step in steps if "pip install" in step["name"]} == {"cached"}, second.out


def test_a_procfile_and_the_dockerfile_that_is_kept(
    stack: Stack, project: str, tmp_path: Path, base_image: str
) -> None:
    """The web line starts the app; what `init --dockerfile` writes is what was built, so nothing is built again."""
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "Procfile").write_text(PROCFILE)
    (directory / "serve.py").write_text(SERVER)
    (directory / "work.py").write_text('import time\nprint("works", flush=True)\ntime.sleep(3600)\n')
    (directory / "hello.txt").write_text("hello")
    (directory / "sealift.toml").write_text(f'project = "{project}"\n[build]\nbase_python = "{base_image}"\n')
    first = stack.deploy(directory, project, timeout_s=240)
    assert first.code == 0, first.out
    assert "starts worker beside it (Procfile)" in first.out
    assert "before each deploy starts, echo migrates && true runs (release of the Procfile)" in first.out
    printed = stack.sealift("logs", first.last_json["deployment_id"], "--grep", "migrates")
    assert printed.out.rstrip().endswith("migrates")
    worked = stack.sealift("logs", first.last_json["deployment_id"], "--process", "worker")
    assert worked.out.rstrip().endswith("works")
    assert get(stack.url(project) + "/hello.txt").body == "hello"

    assert stack.sealift("init", "--dockerfile", cwd=directory).code == 0
    assert (directory / "Dockerfile").read_text().endswith('CMD ["python", "-u", "serve.py"]\n')
    second = stack.deploy(directory, project, timeout_s=240)
    assert second.code == 0, second.out
    assert "no Dockerfile" not in second.out
    assert get(stack.url(project) + "/hello.txt").body == "hello"
