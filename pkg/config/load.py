"""TOML file -> frozen struct, with every problem of the file in one error.

msgspec stops at the first mistake, so sections are walked here and each field is converted on its own.
"""

import difflib
import os
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli

from pkg.config.base import ConfigError, Secret, Strict
from pkg.config.expand import expand, has_reference
from pkg.config.shape import backends_of, choices_of, item_section_of, section_of, type_name

T = TypeVar("T", bound=Strict)

MAX_FILE_BYTES = 1 << 20
_SHOWN_CHARACTERS = 80
# A digest after the "@" makes it the name of an image.
_CREDENTIALS = (
    (re.compile(r"//\S*@"), "//***@"),
    (re.compile(r"(?<=['\"])[^\s/@'\"]+:\S*@(?!sha256:)"), "***@"),
    (re.compile(r"(://[^\s?]+)\?[^\s'\"]+"), r"\1?***"),
)
_AT = re.compile(r"^(?P<text>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_TYPE = re.compile(r"`([^`]+)`")
_TYPE_NAMES = {
    "str": "a string", "int": "an integer", "float": "a number", "bool": "a boolean", "array": "a list",
    "object": "a table", "null": "nothing",
}  # fmt: skip


def load(path: Path, kind: type[T], env: Mapping[str, str] = os.environ) -> T:
    """The configuration in the TOML file `path`, checked.

    Strings may hold `${VAR}` and `${VAR:-default}`; such a string also fits a number or boolean. Unknown keys are
    refused. `problems()` of every section is called once its own fields are valid.

    Raises:
        ConfigError: config.unreadable, config.syntax, or config.invalid with all problems, one per line.
    """
    table = read_table(path)
    reader = _Reader(env)
    config = reader.section(table, kind, "")
    if config is None or reader.problems:
        lines = "\n".join(f"  {problem}" for problem in reader.problems)
        count = f"{len(reader.problems)} problem{'s' if len(reader.problems) > 1 else ''}"
        raise ConfigError("config.invalid", f"{path} has {count}:\n{lines}", problems=reader.problems)
    return config


def read_table(path: Path) -> dict[str, Any]:
    """The TOML file as it is, without a check of its keys.

    Raises:
        ConfigError: config.unreadable or config.syntax.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(
                "config.unreadable", f"{path} has more than {MAX_FILE_BYTES} bytes; that is not a configuration"
            )
        return tomli.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("config.unreadable", f"cannot read {path}: {error.strerror}") from error
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        # `from None`: the parser's exception carries the whole document, and with it any secret
        raise ConfigError("config.syntax", f"{path} is not valid TOML: {error}") from None


class _Reader:
    """One walk over one file; collects what is wrong."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._problems: list[str] = []
        # separate: a broken rule does not keep the rules of the enclosing sections from being checked
        self._broken_rules: list[str] = []

    @property
    def problems(self) -> list[str]:
        return self._problems + self._broken_rules

    def section(self, table: object, kind: type[T], path: str) -> T | None:
        """The section, or None after noting why not."""
        if not isinstance(table, dict):
            self._wrong(path, f"expected a table, got {_shown(table)}")
            return None
        before = len(self._problems)
        fields = msgspec.structs.fields(kind)
        self._refuse_unknown(table, [field.encode_name for field in fields], path)
        values: dict[str, Any] = {}
        for field in fields:
            at = _join(path, field.encode_name)
            if field.encode_name in table:
                values[field.name] = self._value(table[field.encode_name], field.type, at)
            elif field.required:
                nested = section_of(field.type) or next(iter(backends_of(field.type).values()), None)
                if nested:  # an absent section is walked as an empty one: its missing keys are named
                    values[field.name] = self.section({}, nested, at)
                else:
                    self._wrong(at, f"is required ({type_name(field.type)})")
        if len(self._problems) > before:
            return None
        made = kind(**values)
        self._broken_rules += [_join(path, _masked(problem)) for problem in made.problems()]
        return made

    def _value(self, raw: object, kind: Any, path: str) -> Any:
        nested, item = section_of(kind), item_section_of(kind)
        if nested:
            return self.section(raw, nested, path)
        if backends := backends_of(kind):
            return self._backend(raw, backends, path)
        if item:
            if not isinstance(raw, list):
                self._wrong(path, f"expected a list of tables, got {_shown(raw)}")
                return None
            made = [self.section(entry, item, f"{path}[{index}]") for index, entry in enumerate(raw)]
            return tuple(made) if typing.get_origin(kind) is tuple else made
        before = len(self._problems)
        value = self._expanded(raw, path)
        if len(self._problems) > before:
            return None
        try:
            # the value of a variable is text, for every type of field
            return msgspec.convert(value, kind, strict=value == raw, dec_hook=_decode)
        except msgspec.ValidationError as error:
            self._wrong(*_path_and_text(error, path, raw, kind))
            return None

    def _backend(self, raw: object, backends: Mapping[str, type[Strict]], path: str) -> Strict | None:
        """The section that its key `backend` chooses, by default the first one."""
        default = next(iter(backends))
        name = self._expanded(raw.get("backend", default), path) if isinstance(raw, dict) else default
        if isinstance(name, str) and name in backends:
            return self.section(raw, backends[name], path)
        self._wrong(_join(path, "backend"), f"expected one of {', '.join(map(repr, backends))}, got {_shown(name)}")
        return None

    def _expanded(self, raw: object, path: str) -> object:
        if isinstance(raw, str) and has_reference(raw):
            text, wrong = expand(raw, self._env)
            for problem in wrong:
                self._wrong(path, problem)
            return text
        if isinstance(raw, list):
            return [self._expanded(entry, f"{path}[{index}]") for index, entry in enumerate(raw)]
        if isinstance(raw, dict):
            return {key: self._expanded(entry, _join(path, key)) for key, entry in raw.items()}
        return raw

    def _refuse_unknown(self, table: Mapping[str, object], known: list[str], path: str) -> None:
        for key in table:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = (
                    f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known)) or 'nothing'}"
                )
                self._wrong(_join(path, key), f"unknown key; {hint}")

    def _wrong(self, path: str, text: str) -> None:
        self._problems.append(f"{path or 'the file'}: {text}")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _decode(kind: type, value: object) -> object:
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    if kind is Secret:
        return Secret(value)
    if kind is Path:
        return Path(value).expanduser()
    raise TypeError(f"{kind.__name__} cannot be read from TOML")


def _path_and_text(error: msgspec.ValidationError, path: str, raw: object, kind: object) -> tuple[str, str]:
    """Path and text of a conversion error: in the terms of TOML, with the value at fault as it was written."""
    match = _AT.match(str(error))
    text, inner = (match["text"], match["path"] or "") if match else (str(error), "")
    text = _TYPE.sub(lambda types: " or ".join(_TYPE_NAMES.get(name, name) for name in types[1].split(" | ")), text)
    choices = choices_of(kind)
    if choices:
        text = f"expected one of {', '.join(map(repr, choices))}"
    secret = "Secret" in str(kind)
    shown = "" if secret or isinstance(raw, list | dict) or ", got" in text else f", got {_shown(raw)}"
    return f"{path}{inner}", f"{text[:1].lower()}{text[1:]}{shown}"


def _masked(problem: str) -> str:
    """A problem without what may be a secret in the value that it quotes: a login in an address, the query of a URL."""
    for pattern, replacement in _CREDENTIALS:
        problem = pattern.sub(replacement, problem)
    return problem


def _shown(raw: object) -> str:
    # as written: a variable shows as ${NAME}, not as what it holds
    text = _masked(repr(raw)) if isinstance(raw, str | int | float | bool) else type(raw).__name__
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
