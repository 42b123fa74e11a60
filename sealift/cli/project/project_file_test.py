"""sealift.toml: what is accepted, and that all problems come at once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

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


def test_processes() -> None:
    """Promise: a command line is split as in a shell, which runs it only if it needs one; a table has settings."""
    parsed = parse(
        '[processes]\nworker = "python worker.py --name \'a b\'"\nmail = "a | b"\n'
        '[processes.clock]\ncommand = ["python", "clock.py"]\nreplicas = 0\nmemory_mib = 64\n'
        '[processes.queue]\ncommand = "python queue.py"\n'
    )
    assert isinstance(parsed.processes, dict)
    commands = {name: one.command for name, one in parsed.processes.items()}
    assert commands == {
        "worker": ["python", "worker.py", "--name", "a b"],
        "mail": ["sh", "-c", "a | b"],
        "clock": ["python", "clock.py"],
        "queue": ["python", "queue.py"],
    }
    clock = parsed.processes["clock"]
    assert (clock.replicas, clock.memory_mib, clock.cpu_millicores) == (0, 64, UNSET)
    assert parse("[processes]\n").processes == {}
    assert parse("").processes is UNSET


def test_all_problems_of_processes_at_once() -> None:
    """Promise: each problem names its key, and no other one."""
    with pytest.raises(InputError) as caught:
        parse(
            '[processes]\nweb = "a"\nA_b = "a"\nempty = " "\nnumber = 3\n'
            "[processes.none]\nreplicas = 1\n"
            '[processes.much]\ncommand = ["a"]\nreplicas = 21\nport = 80\n'
            "[processes.nothing]\ncommand = []\n"
        )
    message = caught.value.message
    assert "has 8 problems" in message
    for part in (
        "processes.web: web is the app itself", "processes.A_b: a name is 1 to 20 of a-z",
        "processes.empty: the command is empty", "processes.number: expected a command line in quotes",
        "processes.none.command: is required", "processes.much.replicas: Expected a whole number <= 20",
        "processes.much.port: unknown key", "processes.nothing.command: Expected a list of length >= 1",
    ):  # fmt: skip
        assert part in message, message
    with pytest.raises(InputError, match="there are 11, at most 10 are allowed"):
        parse("[processes]\n" + "".join(f'x{number} = "a"\n' for number in range(11)))
