"""A part with several implementations: one table, whose key `backend` chooses the section that reads it."""

from pathlib import Path
from typing import Literal

import pytest

from pkg.config import ConfigError, KeyDoc, Strict, backend_names, describe, load


class Near(Strict):
    """Near.

    Attributes:
        backend: "near" is here.
        size: how much.
        root: where.
    """

    backend: Literal["near"] = "near"
    size: int = 1
    root: Path


class Far(Strict):
    """Far.

    Attributes:
        backend: "far" is elsewhere.
        size: how much.
        url: where.
    """

    backend: Literal["far"] = "far"
    size: int = 1
    url: str


class Config(Strict):
    """All."""

    store: Near | Far


def read(tmp_path: Path, text: str) -> Near | Far:
    (tmp_path / "c.toml").write_text(text)
    return load(tmp_path / "c.toml", Config, {"WHICH": "far"}).store


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return caught.value.problems


def test_the_key_chooses_and_the_first_is_the_default(tmp_path: Path) -> None:
    """Promise: files that were written before there was a choice keep their meaning."""
    assert read(tmp_path, '[store]\nroot = "/r"\n') == Near(root=Path("/r"))
    assert read(tmp_path, '[store]\nbackend = "near"\nroot = "/r"\n') == Near(root=Path("/r"))
    assert read(tmp_path, '[store]\nbackend = "${WHICH}"\nurl = "u"\n') == Far(url="u")


def test_what_is_wrong_is_told_with_the_choices(tmp_path: Path) -> None:
    """Promise: an unknown backend is refused with the names of all; keys of another backend are unknown keys."""
    assert problems(tmp_path, '[store]\nbackend = "nowhere"\n') == [
        "store.backend: expected one of 'near', 'far', got 'nowhere'"
    ]
    assert problems(tmp_path, "[store]\nbackend = 3\n") == ["store.backend: expected one of 'near', 'far', got 3"]
    assert problems(tmp_path, "store = 3\n") == ["store: expected a table, got 3"]
    assert problems(tmp_path, "") == ["store.root: is required (path)"]
    assert problems(tmp_path, '[store]\nbackend = "far"\nurl = "u"\nroot = "/r"\n') == [
        "store.root: unknown key; known here: backend, size, url"
    ]


def test_the_reference_lists_the_keys_of_each() -> None:
    """Promise: the reference page says which key belongs to which backend; names come from the sections."""
    assert backend_names(Near | Far) == ("near", "far")
    assert backend_names(Near) == ("near",)
    assert describe(Config) == [
        KeyDoc("store.backend", '"near" or "far"', '"near"', '"near" is here. "far" is elsewhere.'),
        KeyDoc("store.size", "integer", "1", "how much."),
        KeyDoc("store.root", "path", None, 'With backend "near": where.'),
        KeyDoc("store.url", "string", None, 'With backend "far": where.'),
    ]
