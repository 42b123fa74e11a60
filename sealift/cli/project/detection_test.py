"""What a directory says of how its app is built and started: Dockerfiles elsewhere, Procfile, package.json, compose."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.cli.project.detection import StartCommand, detect, detect_start_command


def made(root: Path, **files: str) -> StartCommand | None:
    for name, text in files.items():
        path = root / name.replace("_", ".")
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return detect_start_command(root)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("web: gunicorn app:app", ["gunicorn", "app:app"]),
        ("release: ./migrate\r\nweb: bundle exec puma -C 'config/a b.rb'\r\n",
         ["bundle", "exec", "puma", "-C", "config/a b.rb"]),
        ("worker: celery -A app", ["celery", "-A", "app"]),  # the only one
        ("web: uvicorn app:app --port $PORT", ["sh", "-c", "exec uvicorn app:app --port $PORT"]),
        ("web: ./migrate && ./serve", ["sh", "-c", "./migrate && ./serve"]),
        ("web: NODE_ENV=production node a.js", ["sh", "-c", "NODE_ENV=production node a.js"]),
        ("web: cd src ; node a.js", ["sh", "-c", "cd src ; node a.js"]),
        ("web: exec ./a $PORT", ["sh", "-c", "exec ./a $PORT"]),
        ("web: echo it's", ["sh", "-c", "echo it's"]),
        ("# web: no\n\nweb:java -jar a.jar", ["java", "-jar", "a.jar"]),
    ],
)  # fmt: skip
def test_a_procfile(tmp_path: Path, line: str, command: list[str]) -> None:
    """Promise: the web process (or the only one) is used, with a shell only if the line needs one."""
    found = made(tmp_path, Procfile=line)
    assert found is not None
    assert list(found.command) == command
    assert f"CMD {json.dumps(command)}" in found.advice()


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ({"scripts": {"start": "node server.js"}}, ["npm", "start"]),
        ({"main": "index.js"}, ["node", "index.js"]),
        ({"scripts": {"start": "next start"}, "main": "index.js"}, ["npm", "start"]),
    ],
)
def test_a_package(tmp_path: Path, package: dict[str, object], command: list[str]) -> None:
    """Promise: the start script is used and quoted; without one, the main file."""
    (tmp_path / "index.js").touch()
    found = made(tmp_path, package_json="\ufeff" + json.dumps(package))
    assert found is not None
    assert list(found.command) == command
    if "scripts" in package:
        assert "start script “n" in found.advice()


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"package_json": "{"},
        {"package_json": "[" * 100_000},
        {"package_json": '{"scripts": {"start": 3}, "main": "nothere.js"}'},
        {"package_json": '{"main": "a\\u0000.js"}'},
        {"package_json": "3"},
        {"Procfile": "\udcff\udcfe"},
        {"Procfile": ""},
    ],
)
def test_nothing_is_made_up(tmp_path: Path, files: dict[str, str]) -> None:
    """Promise: files without a start command, or unreadable ones, are ignored."""
    assert made(tmp_path, **files) is None
    (tmp_path / "compose.yaml").mkdir()
    (tmp_path / "Procfile").unlink(missing_ok=True)
    (tmp_path / "Procfile").mkdir()
    assert detect_start_command(tmp_path) is None


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"compose_yaml": "services: {}"}, "compose.yaml may contain the start command (command: of its service)"),
        ({"Procfile": "a: x\nb: y"}, "Procfile may contain the start command"),
        ({"Procfile": "web: " + "x" * 500}, "Procfile may contain the start command"),
    ],
)
def test_a_file_that_leaves_it_open_is_named(tmp_path: Path, files: dict[str, str], words: str) -> None:
    """Promise: several processes, or a compose file, are reported without a guess."""
    found = made(tmp_path, **files)
    assert found is not None
    assert words in found.advice()


def test_escape_codes_do_not_reach_the_terminal(tmp_path: Path) -> None:
    """Promise: escapes in foreign text are removed."""
    found = made(tmp_path, Procfile="web: a \x1b[31mb\x07")
    assert found is not None
    assert "\x1b" not in found.advice()
    assert found.command == ("a", "b")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_the_array_is_json_and_toml(line: str) -> None:
    """Promise: the array is valid after CMD and after `command =`."""
    array = StartCommand("Procfile", "", ("sh", "-c", line)).array
    assert json.loads(array) == ["sh", "-c", line] == tomllib.loads(f"command = {array}")["command"]


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_dockerfile_is_enough(tmp_path: Path) -> None:
    """Promise: with a Dockerfile in the directory, others are not listed."""
    found = detect(make(tmp_path, "Dockerfile", "dev/Dockerfile", "Dockerfile.dockerignore"))
    assert (found.has_dockerfile, found.lines()) == (True, [])


def test_dockerfiles_elsewhere(tmp_path: Path) -> None:
    """Promise: Dockerfiles under other names and in subdirectories are listed with a command."""
    found = detect(make(tmp_path, "api/Dockerfile", "web/Dockerfile.prod", "a/b/app.dockerfile", "a/b/c/Dockerfile"))
    assert found.lines() == [
        "found a/b/app.dockerfile, api/Dockerfile, web/Dockerfile.prod: "
        "`sealift deploy --dockerfile a/b/app.dockerfile` uses it"
    ]
    assert "`sealift deploy api` uses it" in detect(make(tmp_path / "x", "api/Dockerfile")).lines()[0]


def test_what_is_not_read(tmp_path: Path) -> None:
    """Promise: a compose file is reported as not supported, a Procfile beside a Dockerfile as not used."""
    said = detect(make(tmp_path, "Dockerfile", "compose.yaml", "Procfile")).lines()
    assert said[0] == "found compose.yaml, which is not supported yet"
    assert said[1].startswith("found Procfile, which is not used: the Dockerfile")
    (tmp_path / "Dockerfile").unlink()
    assert len(detect(tmp_path).lines()) == 1


def test_folders_of_packages_are_left_out(tmp_path: Path) -> None:
    """Promise: files in package directories are ignored."""
    make(tmp_path, "node_modules/x/Dockerfile", ".git/Dockerfile", "vendor/Dockerfile")
    assert detect(tmp_path).lines() == []
    assert detect(tmp_path / "nosuch").lines() == []
