"""Whatever an operator writes into a key, the start says what is wrong with it, and shows no password."""

import typing
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pkg.config import ConfigError, Secret, Strict, load
from pkg.config.shape import backends_of, choices_of, item_section_of, section_of
from svc.api.config import ApiConfig
from svc.krane.config import KraneConfig
from svc.standalone.config import StandaloneConfig
from svc.worker.config import WorkerConfig

KINDS: tuple[type[Strict], ...] = (StandaloneConfig, ApiConfig, WorkerConfig, KraneConfig)
PASSWORD = "hunter2-p4ss"
HOSTILE = (
    f"https://user:{PASSWORD}@h.example/x", f"https://:{PASSWORD}@h.example", f"tcp://{PASSWORD}@h.example:1",
    f"user:{PASSWORD}@h.example", f"https://user:a/{PASSWORD}@h.example", f"https://user:a@{PASSWORD}@h.example",
    f"https://h.example/?X-Amz-Signature={PASSWORD}", "http://[::1", "http://[zz]/", "http://h.example:99999",
    "http://h.example:0", "http://h.example:x", "http://\u212a.example", "http://h example", "[::1]:99999", "::1",
    "h:\u0663", "\x00", "\u202e", "", " ", "x" * 5000,
)  # fmt: skip


def keys(kind: type[Strict], path: tuple[str, ...] = (), line: str = "") -> Iterator[tuple[str, type]]:
    """TOML with a place "%s" for the value of one key, for each key that holds text; and whether it is secret."""
    head = f"[{'.'.join(path)}]\n{line}" if path else line
    for field in msgspec.structs.fields(kind):
        below = (*path, field.encode_name)
        if item := item_section_of(field.type):
            yield from ((f"[[{'.'.join(below)}]]\n{inner}", of) for inner, of in keys(item))
        elif section := section_of(field.type):
            yield from keys(section, below)
        elif backends := backends_of(field.type):
            for name, section in backends.items():
                yield from keys(section, below, f'backend = "{name}"\n')
        elif not choices_of(field.type) and any(of in _members(field.type) for of in (str, Path, Secret)):
            value = "[%s]" if typing.get_origin(field.type) in (list, tuple) else "%s"
            yield f"{head}{field.encode_name} = {value}\n", Secret if Secret in _members(field.type) else str


def _members(kind: object) -> set[object]:
    return {kind, *(member for arg in typing.get_args(kind) for member in _members(arg))}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("from_environment", [False, True])
def test_hostile_values(kind: type[Strict], tmp_path: Path, from_environment: bool) -> None:
    """Promise: each value is accepted or refused with words, and no message shows a login or a signature in it."""
    path, tried = tmp_path / "c.toml", 0
    for text, _ in keys(kind):
        for value in HOSTILE:
            env = {"VALUE": value} if from_environment else {}
            written = '"${VALUE}"' if from_environment else msgspec.json.encode(value).decode().replace("\x7f", "")
            path.write_text(text % written, encoding="utf-8")
            tried += 1
            code, said = _refusal(path, kind, env)
            assert code in ("", "config.invalid"), said
            assert PASSWORD not in said, text % written
    assert tried > 100


def _refusal(path: Path, kind: type[Strict], env: dict[str, str]) -> tuple[str, str]:
    try:
        load(path, kind, env)
    except ConfigError as error:
        return error.code, f"{error.message} {error.problems}"
    return "", ""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_values_of_wrong_types(kind: type[Strict], tmp_path: Path) -> None:
    """Promise: a number, a list or a table where text belongs is named, and no secret is shown that is not text."""
    path = tmp_path / "c.toml"
    for text, of in keys(kind):
        for value in ("4711424242", "[4711424242]", '{ a = "4711424242" }', "true"):
            path.write_text(text % value, encoding="utf-8")
            with pytest.raises(ConfigError) as caught:
                load(path, kind, {})
            assert of is not Secret or "4711424242" not in caught.value.message, text % value
