"""sealift.toml: what is accepted, and that all problems come at once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealift.cli import project_file
from sealift.cli.commands.init import _TEMPLATE, slug_of
from sealift.cli.project_file import ProjectFile, parse
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
    text = _TEMPLATE.format(slug="x")
    assert parse(text).project == "x"
    body = "\n".join(line.removeprefix("# ") for line in text.splitlines()[1:])
    parsed = parse(body)
    assert parsed.run.port == 8080
    assert parsed.build.args == {"NAME": "value"}


def test_all_problems_at_once() -> None:
    """Promise: every problem is named with its place, and unknown keys with a guess."""
    with pytest.raises(InputError) as caught:
        parse(
            'projct="x"\nenvironment=3\n[run]\nport=70000\nmemry_mib=1\ncommand="x"\n'
            '[run.health_check]\npath="up"\n[bild]\n'
        )
    message = caught.value.message
    assert "sealift.toml has 7 problems" in message
    for part in (
        "projct: unknown key; did you mean 'project'?", "environment: Expected `str`",
        "run.port: Expected `int` <= 65535",
        "run.memry_mib: unknown key; did you mean 'memory_mib'?", "run.command: Expected `array`",
        "run.health_check.path:", "bild: unknown key; did you mean 'build'?",
    ):  # fmt: skip
        assert part in message


def test_missing_is_empty(tmp_path: Path) -> None:
    """Promise: no file means no settings."""
    assert project_file.load(tmp_path) == ProjectFile()


def test_unreadable(tmp_path: Path) -> None:
    """Promise: what is no TOML or no text is refused by name."""
    (tmp_path / "sealift.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        project_file.load(tmp_path)
    (tmp_path / "sealift.toml").write_text("a = ")
    with pytest.raises(InputError, match="is not TOML"):
        project_file.load(tmp_path)


def test_nearest_file_wins(tmp_path: Path) -> None:
    """Promise: the file of the nearest directory counts."""
    (tmp_path / "sealift.toml").write_text('project="far"')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert project_file.find(below).project == "far"
    (tmp_path / "a" / "sealift.toml").write_text('project="near"')
    assert project_file.find(below).project == "near"


@given(st.text(max_size=60))
def test_slugs(name: str) -> None:
    """Promise: a slug made of any name is one, or empty."""
    slug = slug_of(name)
    assert len(slug) <= 40
    assert not slug or (slug[0].isalnum() and slug[-1].isalnum())
