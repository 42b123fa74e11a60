"""Writing TOML: the few kinds of values that our generated files hold."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from pkg.config import Secret, Strict
from pkg.config.expand import escape

Plain: TypeAlias = str | int | float | bool
Table: TypeAlias = "Mapping[str, Plain | Sequence[str] | Table | Sequence[Table]]"


def section(values: Strict) -> dict[str, Plain | Sequence[str]]:
    """A section as a table that reads back as it is, secrets included; keys without a value are left out."""
    fields = msgspec.structs.asdict(values)
    return {key: _plain(value) for key, value in fields.items() if value is not None}


def _plain(value: Any) -> Plain | Sequence[str]:
    if isinstance(value, Secret):
        return escape(value.reveal())
    if isinstance(value, str | Path):
        return escape(str(value))
    if isinstance(value, list | tuple):
        return [escape(str(item)) for item in value]
    assert isinstance(value, bool | int | float), value
    return value


def render(table: Table) -> str:
    """A TOML document; plain values first, then tables, in the order given."""
    return "\n".join(_lines(table, "")).strip() + "\n"


def _lines(table: Table, path: str) -> list[str]:
    lines = [f"{key} = {_value(value)}" for key, value in table.items() if _is_plain(value)]
    for key, value in table.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            lines += ["", f"[{name}]", *_lines(value, name)]
        elif not _is_plain(value):
            items: Any = value  # tables, as it is neither plain nor one itself
            for item in items:
                lines += ["", f"[[{name}]]", *_lines(item, name)]
    return lines


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str | int | float | bool)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    # JSON's strings are TOML's basic strings, but for surrogate pairs (never written here) and DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else str(value)
