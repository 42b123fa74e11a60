"""sealift.toml: what is accepted, and that all problems come at once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.cli.project import project_file
from sealift.cli.project.new_project_file import TEMPLATE, slug_of
from sealift.cli.project.project_file import ProjectFile, parse
from sealift.client.errors import InputError


def test_documented_example() -> None:
    """Promise: the example of the module's docstring is a valid file."""
    assert project_file.__doc__
    example = project_file.__doc__.split("\n\n", 1)[1]
    parsed = parse("\n".join(line.removeprefix("    ") for line in example.splitlines()))
    assert parsed.project == "hello"
    assert parsed.run.health_check


def test_template_is_valid() -> None:
    """Promise: what `init` writes is valid, also with every comment removed."""
    text = TEMPLATE.format(slug="x")
    assert parse(text).project == "x"
    body = "\n".join(line.removeprefix("# ") for line in text.splitlines()[1:])
    parsed = parse(body)
    assert parsed.run.port == 8080
    assert parsed.build.args == {"NAME": "value"}


def test_all_problems_at_once() -> None:
    """Promise: all problems are reported with their key, unknown keys with a suggestion."""
    with pytest.raises(InputError) as caught:
        parse(
            'projct="x"\nenvironment=3\n[run]\nport=70000\nmemry_mib=1\ncommand="x"\n'
            '[run.health_check]\npath="up"\n[bild]\n'
        )
    message = caught.value.message
    assert "sealift.toml has 7 problems" in message
    for part in (
        "projct: unknown key; did you mean 'project'?", "environment: Expected a string",
        "run.port: Expected a whole number <= 65535",
        "run.memry_mib: unknown key; did you mean 'memory_mib'?", 'write command = ["x"]',
        "run.health_check.path:", "bild: unknown key; did you mean 'build'?",
    ):  # fmt: skip
        assert part in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[run]\ncommand="node server.js --name \\"a b\\""',
            'run.command: Expected a list, got a string (it is "node server.js --name \\"a b\\""): '
            'write command = ["node", "server.js", "--name", "a b"]',
        ),
        ('[run]\ncommand="it\'s"', 'write command = ["it\'s"]'),
        ('[run]\nport="3000"', 'run.port: Expected a whole number, got a string (it is "3000"): write port = 3000'),
        ("[run]\nport=true", "run.port: Expected a whole number"),
        ("[run]\nport=3000.5", "run.port: Expected a whole number"),
        ('[run]\nreplicas="two"', 'run.replicas: Expected a whole number, got a string (it is "two")'),
        (
            "[run]\nreplicas=2\nmin_replicas=1\nmax_replicas=4",
            "run.replicas: replicas (2) is a fixed number, min_replicas (1) and max_replicas (4) are bounds",
        ),
        ("[run]\nmin_replicas=5\nmax_replicas=4", "min_replicas (5) is greater than max_replicas (4)"),
        ("[run]\nmax_replicas=21", "run.max_replicas: Expected a whole number <= 20"),
        ("branch=2", 'branch: Expected a string, got a whole number (it is 2): write branch = "2"'),
        ('dockerfile=["Dockerfile"]', 'write dockerfile = "Dockerfile"'),
        (
            "run=3000",
            "run: Expected a table, got a whole number (it is 3000): write a table [run] with the keys port",
        ),
        ('[run]\nhealth_check="/up"', "write a table [run.health_check] with the keys path, interval_ms"),
        ('[build]\nargs="A=1"', "build.args: Expected a table, got a string"),
        ("[build]\nargs={A=1}", "build.args: Expected a string, got a whole number - at `build.args"),
    ],
)
def test_a_wrong_value_is_explained(text: str, words: str) -> None:
    """Promise: messages use TOML's type names, and show the correct line or the values that contradict each other."""
    with pytest.raises(InputError) as caught:
        parse(text)
    assert words in caught.value.message


def test_missing_is_empty(tmp_path: Path) -> None:
    """Promise: no file means no settings."""
    assert project_file.load(tmp_path) == ProjectFile()


def test_unreadable(tmp_path: Path) -> None:
    """Promise: files that are not TOML or not UTF-8 are refused by name."""
    (tmp_path / "sealift.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        project_file.load(tmp_path)
    (tmp_path / "sealift.toml").write_text("a = ")
    with pytest.raises(InputError, match="is not valid TOML"):
        project_file.load(tmp_path)


def test_nearest_file_wins(tmp_path: Path) -> None:
    """Promise: the file of the nearest directory is used."""
    (tmp_path / "sealift.toml").write_text('project="far"')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert project_file.find(below).project == "far"
    (tmp_path / "a" / "sealift.toml").write_text('project="near"')
    assert project_file.find(below).project == "near"


@given(st.text(max_size=60))
def test_slugs(name: str) -> None:
    """Promise: a slug derived from any name is valid or empty."""
    slug = slug_of(name)
    assert len(slug) <= 40
    assert not slug or (slug[0].isalnum() and slug[-1].isalnum())
